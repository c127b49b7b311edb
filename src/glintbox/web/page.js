// The page: asks the server, shows what it says. Every text goes in as text, never as markup.
import { attention, entropies, figure } from "/drawing.js";

const COORDS = ["x1", "y1", "x2", "y2"];
const at = (id) => document.getElementById(id);
const make = (name, text = "", look = {}) => Object.assign(document.createElement(name), { textContent: text }, look);
const rounded = (box) => box.map((value) => Math.round(value)).join(", ");
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

// asked: number of the question at hand, so that answers to older ones are dropped
const state = { about: null, file: null, asked: 0, job: null, shown: null, picked: null, tab: "find" };

async function get(path, options) {
  const answer = await fetch(path, options).catch(() => { throw new Error("The server cannot be reached; is it still running?"); });
  const told = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
  if (!answer.ok) throw new Error(told.error);
  return told;
}

// ------------------------------------------------------------------ what is asked

async function begin() {
  state.about = await get("/about");
  const { model, layers, heads, limits, examples, localization, selectors } = state.about;
  at("model").textContent = `${model} · ${layers} layers × ${heads} heads`;
  at("query").maxLength = limits.query;
  at("n").max = limits.samples;
  at("selector").replaceChildren(...selectors.map((name) => make("option", name, { value: name })));
  at("missing").hidden = localization !== null;
  at("how").textContent = `glintbox heads find DATASET --by localization --model MODEL --out heads\nglintbox web --model MODEL --localization heads`;
  at("examples").hidden = !examples.length;
  at("examples").replaceChildren(...examples.map(exampleButton));
  document.body.dataset.ready = "yes";
}

function exampleButton({ name, query }) {
  const button = make("button", "", { type: "button", title: `Find: ${query}` });
  button.append(make("img", "", { src: `/examples/${name}`, alt: "" }), query);
  button.onclick = () => attempt(async () => {
    const bytes = await (await fetch(`/examples/${name}`)).blob();
    take(new File([bytes], name, { type: bytes.type }));
    at("query").value = query;
    await ask();
  });
  return button;
}

function take(file) {
  const most = state.about.limits.bytes;
  if (file.size > most) throw new Error(`The picture has ${(file.size / 2 ** 20).toFixed(0)} MB; at most ${most / 2 ** 20} MB are taken. Shrink it first.`);
  state.file = file;
  at("named").textContent = `${file.name} · drop another, or choose one`;
  forget();
  show(URL.createObjectURL(file));
}

function forget() {
  Object.assign(state, { asked: state.asked + 1, job: null, shown: null, picked: null });
  for (const id of ["result", "closer", "legend", "error", "progress"]) at(id).hidden = true;
  at("boxes").replaceChildren();
  at("scores").replaceChildren();
}

function show(address) {
  const picture = at("picture");
  if (picture.src.startsWith("blob:")) URL.revokeObjectURL(picture.src);
  picture.onload = () => {
    at("frame").style.setProperty("--aspect", picture.naturalWidth / picture.naturalHeight);
    picture.hidden = false;
    at("empty").hidden = true;
  };
  picture.onerror = () => {
    picture.hidden = true;
    at("empty").hidden = false;
    at("empty").textContent = "This browser cannot show that kind of file; it is shown when its boxes are found.";
  };
  picture.src = address;
  return picture.decode().catch(() => undefined);
}

async function ask() {
  if (!state.file) throw new Error("Drop a picture first, or choose one.");
  if (!at("query").value.trim()) throw new Error("Say what to find.");
  forget();
  const asked = state.asked;
  const words = new URLSearchParams({ name: state.file.name, query: at("query").value });
  if (state.tab === "find") for (const word of ["n", "temperatures", "seed"]) words.set(word, at(word).value);
  waiting({ state: "sending" });
  const headers = { "Content-Type": "application/octet-stream" };
  const { job } = await get(`/${state.tab}?${words}`, { method: "POST", body: state.file, headers });
  while (asked === state.asked) {
    const where = await get(`/jobs/${job}`);
    if (asked !== state.asked) return;
    if (where.state === "failed") throw new Error(where.error);
    if (where.state === "done") break;
    waiting(where);
    await new Promise((done) => setTimeout(done, 200));
  }
  if (asked !== state.asked) return;
  state.job = job;
  waiting({ state: "showing" });
  await show(`/jobs/${job}/picture.jpg`);
  await choose();
  at("progress").hidden = true;
}

function waiting({ state: stage, place, seconds, tokens, finished, answers }) {
  at("progress").hidden = false;
  const bar = at("bar");
  bar.removeAttribute("value");
  if (answers) { bar.max = answers; bar.value = finished; }
  at("doing").textContent = {
    sending: "sending the picture",
    waiting: `${place} before you in line`,
    working: `${!answers ? "reading the picture" : finished < answers ? `${tokens} tokens written, ${finished} of ${answers} answers finished` : "reading the attention behind the boxes"}, ${seconds} s`,
    showing: "showing",
  }[stage];
}

// ------------------------------------------------------------------ what was found

function words() {
  const chosen = document.querySelector("#temperature input:checked");
  return new URLSearchParams({
    temperature: state.shown && chosen ? chosen.value : "",
    selector: state.shown ? at("selector").value : "auto",
    multiple: at("multiple").checked ? "1" : "0",
  });
}

async function choose() {
  const began = performance.now(), asked = state.asked;
  const shown = await get(`/jobs/${state.job}/result?${words()}`);
  if (asked !== state.asked) return;
  const same = state.shown && state.shown.choice.temperature === shown.choice.temperature;
  state.shown = shown;
  at("error").hidden = true;
  controls(shown);
  drawBoxes();
  told(shown);
  listed(shown);
  at("result").hidden = at("legend").hidden = false;
  document.body.dataset.choice = `${shown.choice.selector} ${shown.choice.temperature} ${shown.choice.multiple}`;
  document.body.dataset.ms = Math.round(performance.now() - began);
  if (shown.looked) return looked(shown);
  const best = shown.boxes.find((one) => one.candidate !== null) ?? { candidate: shown.candidates[0]?.number ?? null };
  await pick(same && state.picked !== null ? state.picked : best.candidate);
}

function controls({ choice, choices }) {
  at("selector").value = choice.selector;
  const unable = Object.entries(choices.selectors).filter(([, why]) => why);
  for (const option of at("selector").options) option.disabled = Boolean(choices.selectors[option.value]);
  at("unable").hidden = !unable.length;
  at("unable").firstElementChild.textContent = `Selectors that cannot choose here: ${unable.length}`;
  at("unable").lastElementChild.replaceChildren(...unable.map(([name, why]) => make("li", `${name}: ${why}`)));
  const radios = choices.temperatures.map((value) => {
    const label = make("label", String(value));
    label.prepend(make("input", "", { type: "radio", name: "temperature", value: String(value), checked: value === choice.temperature }));
    return label;
  });
  at("temperature").replaceChildren(at("temperature").firstElementChild, ...radios);
}

function told({ query, method, boxes, score_kind, candidates, answers, seconds, notes }) {
  const found = boxes.length === 1 ? rounded(boxes[0].box) : boxes.length ? `${boxes.length} boxes` : "not found";
  at("headline").textContent = `“${query}”: ${found}`;
  const time = Object.entries(seconds).map(([stage, value]) => `${stage} ${value.toFixed(2)} s`).join(", ");
  const total = answers.boxes + answers.none + answers.unreadable;
  const odd = answers.unreadable ? `, ${answers.unreadable} unreadable` : "";
  const said = total ? `${candidates.length} boxes in ${total} answers (${answers.none} see none${odd})` : "nothing was written";
  at("summary").textContent = `${method}, score: ${score_kind} · ${said} · ${time}`;
  at("notes").replaceChildren(...notes.map((note) => make("li", note)));
  at("json").href = `/jobs/${state.job}/grounding.json?${words()}`;
  at("figure").href = `/jobs/${state.job}/figure.png?${words()}`;
}

function drawBoxes() {
  const { image, boxes, greedy, candidates, score_kind } = state.shown, svg = at("boxes");
  svg.setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
  const sampled = candidates.filter((one) => one.source !== "greedy");
  const picked = candidates.filter((one) => one.number === state.picked);
  svg.replaceChildren(
    ...sampled.map((one) => rect(one.box, "candidate")),
    ...picked.map((one) => rect(one.box, "picked")),
    ...boxes.toReversed().flatMap((one) => [rect(one.box, "halo", 5.4), rect(one.box, "chosen")]),
    ...greedy.map((box) => rect(box, "greedy")),
  );
  const digits = (score) => score_kind === "iou" || score_kind === "agreement" || score_kind === "share" ? score.toFixed(2) : String(+score.toPrecision(3));
  at("scores").replaceChildren(...boxes.filter((one) => one.score !== null).map(({ box, score }) => {
    const right = box[0] > 0.8 * image.width, below = box[1] < 0.08 * image.height;
    const label = make("span", digits(score), { className: `${right ? "left" : ""} ${below ? "below" : ""}` });
    label.style.left = `${100 * (right ? box[2] : box[0]) / image.width}%`;
    label.style.top = `${100 * (below ? box[3] : box[1]) / image.height}%`;
    return label;
  }));
}

function rect(box, name, width) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const [x1, y1, x2, y2] = box;
  const parts = { x: x1, y: y1, width: x2 - x1, height: y2 - y1, class: name, "data-box": JSON.stringify(box) };
  for (const [key, value] of Object.entries(parts)) made.setAttribute(key, value);
  if (width) made.setAttribute("stroke-width", `${width}px`);
  return made;
}

function listed({ candidates, boxes }) {
  const chosen = new Map(boxes.map((one) => [one.candidate, one.score]));
  at("candidates").replaceChildren(...candidates.map((one) => {
    const row = make("li"), button = make("button", "", { type: "button" });
    const mark = make("i", "", { className: `swatch ${chosen.has(one.number) ? "chosen" : one.source === "greedy" ? "greedy" : "candidate"}` });
    button.append(mark, rounded(one.box), make("small", one.source === "greedy" ? "greedy" : `answer ${one.answer}`));
    button.dataset.number = one.number;
    button.onclick = () => attempt(() => pick(one.number));
    row.append(button);
    return row;
  }));
}

// ------------------------------------------------------------------ one candidate

async function pick(number) {
  state.picked = number;
  for (const button of at("candidates").querySelectorAll("button")) button.setAttribute("aria-pressed", Number(button.dataset.number) === number);
  drawBoxes();
  at("closer").hidden = number === null;
  if (number === null) return;
  const { asked, shown } = state;
  const near = await get(`/jobs/${state.job}/candidates/${number}?${words()}`);
  if (asked !== state.asked || number !== state.picked) return;
  const { box, source, answer, ended } = near.candidate;
  at("which").textContent = `Candidate ${rounded(box)}`;
  at("answer").replaceChildren(...near.parts.map(partOf));
  at("answer").previousElementSibling.textContent = `Its answer: ${source === "greedy" ? "greedy" : `number ${answer}, ${source}`}${ended === "length" ? ", cut at its longest" : ""}`;
  drawMaps(near, shown.image);
  drawEntropies(near);
  document.body.dataset.picked = number;
}

function partOf({ text, box, mark }) {
  const part = make(mark ? "mark" : "span", text, { className: box ? "box" : "" });
  if (mark) Object.assign(part.dataset, { coord: mark }), part.title = `the token that was read for ${mark}`;
  return part;
}

function drawMaps({ maps, candidate }, image) {
  at("behind").textContent = maps ? `Mean of ${new Set(maps.heads.flat()).size} heads: ${[...new Set(maps.heads.flat())].join(", ")}.` : "Nobody wrote this box token by token, so no attention was read.";
  at("maps").replaceChildren(...(maps ? COORDS.map((name, k) => {
    const made = figure(name);
    const peak = attention(made.firstChild, at("picture"), image, maps, maps.values[k], candidate.box, k);
    made.lastChild.textContent = `${name} · brightest cell ${percent(peak)}`;
    return made;
  }) : []));
}

function drawEntropies({ heads, entropy, share }) {
  const known = entropy.flat().filter((value) => value !== null);
  const range = [Math.min(...known), Math.max(...known)];
  at("scale").textContent = known.length ? `Layers down, heads to the right; bright = concentrated: ${range.map((nats) => nats.toFixed(2)).join(" to ")} nats.` : "";
  at("head").hidden = !known.length;
  at("entropies").replaceChildren(...(known.length ? COORDS.map((name, k) => {
    const made = figure(name);
    entropies(made.firstChild, heads, entropy[k], range, (head) => {
      const value = entropy[k][head];
      const nats = value === null ? "not read" : `${value.toFixed(2)} nats, ${percent(share[k][head])} of its attention on the picture`;
      at("head").textContent = `L${heads[head][0]}H${heads[head][1]} at ${name}: ${nats}`;
    });
    return made;
  }) : []));
}

function looked({ looked: map, image, boxes }) {
  const made = figure("");
  const peak = attention(made.firstChild, at("picture"), image, map, map.values, boxes[0]?.box ?? null, null);
  made.lastChild.textContent = `where ${map.heads.join(", ")} look · brightest cell ${percent(peak)}`;
  at("looked").replaceChildren(made);
}

// ------------------------------------------------------------------ hands

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    at("progress").hidden = true;
    at("error").hidden = false;
    at("error").textContent = error.message;
  }
}

/** The smallest candidate under a click; clicking again goes to the next larger one. */
function clicked(event) {
  if (!state.shown) return;
  const place = at("boxes").getBoundingClientRect(), { image, candidates } = state.shown;
  const x = (event.clientX - place.left) / place.width * image.width, y = (event.clientY - place.top) / place.height * image.height;
  const reach = 6 * image.width / place.width; // px around a box that still hit it
  const size = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  const under = candidates.filter(({ box: [x1, y1, x2, y2] }) => x > x1 - reach && x < x2 + reach && y > y1 - reach && y < y2 + reach);
  const order = under.sort((a, b) => size(a.box) - size(b.box)).map((one) => one.number);
  if (order.length) attempt(() => pick(order[(order.indexOf(state.picked) + 1) % order.length]));
}

function turn(tab) {
  state.tab = at("page").dataset.tab = tab;
  for (const name of ["find", "look"]) at(`tab-${name}`).setAttribute("aria-selected", name === tab);
  at("form").hidden = tab === "look" && !state.about?.localization;
  forget();
}

at("form").onsubmit = (event) => { event.preventDefault(); attempt(ask); };
at("file").onchange = () => attempt(async () => { if (at("file").files.length) take(at("file").files[0]); });
for (const id of ["selector", "temperature", "multiple"]) at(id).onchange = () => state.shown && attempt(choose);
for (const name of ["find", "look"]) at(`tab-${name}`).onclick = () => turn(name);
at("boxes").onclick = clicked;
document.ondragover = (event) => { event.preventDefault(); at("drop").classList.add("over"); };
document.ondragleave = () => at("drop").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  attempt(async () => { if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]); });
};
attempt(begin);
