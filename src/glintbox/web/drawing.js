// Maps on canvases: attention over the dimmed picture, entropy as layers × heads. Knows no server.

const INFERNO = [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164]];

/** A colour of matplotlib's inferno for a value in 0..1. */
function inferno(value) {
  const at = Math.min(Math.max(value, 0), 1) * (INFERNO.length - 1);
  const low = Math.min(Math.floor(at), INFERNO.length - 2);
  return INFERNO[low].map((part, k) => Math.round(part + (INFERNO[low + 1][k] - part) * (at - low)));
}

/** A figure with a canvas; the caption says what it shows. */
export function figure(caption) {
  const made = document.createElement("figure");
  made.append(document.createElement("canvas"), document.createElement("figcaption"));
  made.lastChild.textContent = caption;
  return made;
}

/** Shares of attention over the dimmed picture, brightest cell brightest; edge: number of the coordinate, or null. */
export function attention(canvas, picture, image, map, values, box, edge) {
  const scale = Math.min(1, 640 / Math.max(image.width, image.height)) * (image.width < 320 ? 2 : 1);
  canvas.width = Math.round(image.width * scale);
  canvas.height = Math.round(image.height * scale);
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  pen.fillStyle = "rgba(0, 0, 0, .45)";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.scale(canvas.width / image.width, canvas.height / image.height);
  const peak = paintCells(pen, image, map.grid, values);
  if (box) outline(pen, box, edge, image.width / canvas.width);
  return peak;
}

function paintCells(pen, image, grid, values) {
  const [x1, y1, x2, y2] = grid.region;
  const wide = (x2 - x1) / grid.cols, high = (y2 - y1) / grid.rows;
  const seen = (r, c) => y1 + (r + 1) * high > 0 && y1 + r * high < image.height && x1 + (c + 1) * wide > 0 && x1 + c * wide < image.width;
  const peak = Math.max(0, ...values.flatMap((row, r) => row.filter((_, c) => seen(r, c))));
  values.forEach((row, r) => row.forEach((value, c) => {
    const shown = Math.min(value / (peak || 1), 1);
    pen.fillStyle = `rgba(${inferno(shown).join()}, ${0.1 + 0.75 * shown})`;
    pen.fillRect(x1 + c * wide, y1 + r * high, wide, high);
  }));
  return peak;
}

function outline(pen, [x1, y1, x2, y2], edge, px) {
  pen.strokeStyle = "#fff";
  pen.lineWidth = 1.2 * px;
  pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
  if (edge === null) return;
  const [from, to] = [[[x1, y1], [x1, y2]], [[x1, y1], [x2, y1]], [[x2, y1], [x2, y2]], [[x1, y2], [x2, y2]]][edge];
  for (const [color, width] of [["#000", 6], ["#fff", 3.5]]) {
    pen.strokeStyle = color;
    pen.lineWidth = width * px;
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  }
}

/** Entropy of heads as layers (down) × heads (right), bright = low; say(head index) is called for the cell touched. */
export function entropies(canvas, heads, values, [low, high], say) {
  const rows = Math.max(...heads.map(([layer]) => layer)) + 1, cols = Math.max(...heads.map(([, head]) => head)) + 1;
  canvas.width = cols;
  canvas.height = rows;
  canvas.style.aspectRatio = `${cols} / ${Math.min(rows, cols)}`;
  const pen = canvas.getContext("2d");
  heads.forEach(([layer, head], k) => {
    pen.fillStyle = values[k] === null ? "#888" : `rgb(${inferno((high - values[k]) / (high - low || 1)).join()})`;
    pen.fillRect(head, layer, 1, 1);
  });
  canvas.onpointermove = canvas.onpointerdown = (event) => {
    const place = canvas.getBoundingClientRect();
    const layer = Math.floor((event.clientY - place.top) / place.height * rows), head = Math.floor((event.clientX - place.left) / place.width * cols);
    const found = heads.findIndex(([l, h]) => l === layer && h === head);
    if (found >= 0) say(found);
  };
}
