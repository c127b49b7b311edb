"""A page's model without weights: three samples that differ, a head map, a regressor and localization heads of it."""

from io import BytesIO

from PIL import Image

from glintbox.boxes import Box
from glintbox.ground import Grounder
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM
from glintbox.records import COORDS, HeadMap
from glintbox.regressor import RegressorCard, new_regressor

WIDE, HIGH = 120, 80
TEXT = '[{"bbox_2d": [100, 100, 300, 400], "label": "cup"}]'
OTHER = '[{"bbox_2d": [110, 100, 310, 410], "label": "cup"}]'
AWAY = '[{"bbox_2d": [600, 500, 900, 900], "label": "cup"}]'
SCRIPTS = {
    "cup": Script(TEXT, (TEXT, OTHER, AWAY, AWAY), Box(12, 8, 36, 32)),
    "dog": Script("There is none.", ("There is none.",), Box(0, 0, 9, 9)),
}


def a_grounder(*, artefacts: bool = False) -> Grounder:
    lvlm = ScriptedLVLM(SCRIPTS)
    if not artefacts:
        return Grounder(lvlm)
    setting = lvlm.card.setting(prompt="scripted", view="default", moment="predicting")
    said = lvlm.card.setting(prompt="expression", view="default", moment="predicting")
    heads = HeadMap(setting, "by hand", dict(zip(COORDS, ((head,) for head in SHARP), strict=True)))
    regressor = new_regressor(RegressorCard(setting, SHARP[:3], 6, 8))
    return Grounder(lvlm, heads=heads, regressor=regressor, localization=HeadMap(said, "by hand", {"text": SHARP[:3]}))


def a_picture(kind: str = "PNG", *, width: int = WIDE, height: int = HIGH) -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, kind)
    return file.getvalue()
