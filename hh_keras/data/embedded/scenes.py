"""What the embedded tracking sequences show: things cut out, and what moves where."""

import dataclasses

import numpy as np

# What is cut out: photograph, longer side in the frame (pixels), corners of the outline
# in the photograph's pixels.
THINGS = {
    "pink brush": ("train/Picture_1A_by_freespace.jpg", 66, (
        (318, 155), (345, 170), (375, 190), (405, 212), (425, 232), (440, 255),
        (452, 275), (448, 310), (432, 345), (415, 385), (400, 425), (388, 460),
        (378, 488), (350, 480), (320, 465), (300, 450), (262, 425), (258, 392),
        (270, 360), (285, 310), (298, 260), (305, 210), (312, 180),
    )),
    "yellow brush": ("train/Picture_1A_by_freespace.jpg", 62, (
        (350, 150), (400, 158), (450, 165), (500, 180), (560, 205), (600, 225),
        (595, 255), (585, 300), (575, 330), (560, 330), (545, 312), (520, 310),
        (490, 325), (460, 350), (440, 350), (455, 300), (462, 270), (445, 245),
        (425, 215), (390, 190), (360, 172),
    )),
    "round brush": ("train/Picture_1A_by_freespace.jpg", 58, (
        (640, 182), (660, 178), (685, 185), (700, 205), (702, 235), (690, 270),
        (675, 320), (660, 362), (622, 362), (618, 330), (615, 270), (618, 225),
        (628, 200),
    )),
    "drum": ("train/Wine_by_Jakkub_Mede.jpg", 74, (
        (240, 388), (270, 392), (300, 418), (320, 450), (332, 490), (330, 535),
        (315, 570), (290, 595), (255, 600), (215, 595), (180, 578), (150, 560),
        (115, 558), (100, 553), (70, 566), (40, 580), (22, 565), (15, 535), (20, 510),
        (35, 493), (60, 488), (105, 484), (125, 462), (150, 440), (180, 415),
        (205, 396),
    )),
    "bottle": ("train/Wine_by_Jakkub_Mede.jpg", 78, (
        (258, 96), (268, 96), (270, 112), (269, 140), (280, 155), (281, 175),
        (281, 258), (275, 265), (252, 265), (247, 258), (246, 170), (249, 155),
        (259, 140), (259, 112),
    )),
    "loudspeaker": ("train/Wine_by_Jakkub_Mede.jpg", 40, tuple(
        (43 + 33 * np.cos(turn), 158 + 33 * np.sin(turn))
        for turn in np.linspace(0, 2 * np.pi, 24, endpoint=False)
    )),
    "stone table": ("train/sunset_by_Aitzol_Berasategi.jpg", 76, (
        (503, 370), (510, 355), (530, 347), (570, 345), (610, 345), (650, 349),
        (690, 357), (720, 370), (738, 390), (741, 405), (735, 420), (715, 430),
        (690, 435), (653, 437), (652, 530), (575, 530), (570, 424), (545, 415),
        (515, 395), (503, 380),
    )),
    "fir": ("train/aitzgorri_by_Aitzol_Berasategi.jpg", 70, (
        (596, 212), (602, 222), (608, 235), (612, 245), (610, 255), (622, 255),
        (618, 266), (626, 272), (622, 280), (633, 277), (628, 290), (625, 300),
        (616, 310), (614, 322), (590, 325), (570, 318), (566, 305), (563, 285),
        (570, 270), (575, 258), (577, 248), (585, 240), (588, 228), (592, 220),
    )),
    "rock": ("train/life_by_Aitzol_Berasategi.jpg", 50, (
        (540, 268), (560, 262), (580, 268), (590, 285), (580, 310), (565, 330),
        (555, 352), (535, 357), (515, 350), (512, 330), (505, 315), (520, 285),
    )),
    "fig": ("val/Picture_0B_by_freespace.png", 56, (
        (187, 138), (212, 137), (225, 130), (240, 117), (255, 110), (268, 108),
        (282, 111), (296, 120), (306, 132), (312, 146), (313, 158), (309, 172),
        (302, 188), (294, 205), (286, 217), (276, 224), (264, 226), (252, 223),
        (240, 214), (230, 205), (220, 194), (214, 180), (211, 162), (210, 153),
        (205, 149), (187, 148),
    )),
    "tongue dog": ("val/friends_by_Aitzol_Berasategi.png", 60, (
        (116, 104), (126, 105), (136, 111), (142, 119), (149, 124), (152, 135),
        (154, 148), (152, 163), (148, 176), (140, 181), (135, 175), (134, 165),
        (131, 168), (124, 163), (114, 160), (112, 168), (104, 176), (96, 176),
        (92, 166), (90, 150), (90, 128), (95, 114), (104, 107),
    )),
    "lower dog": ("val/friends_by_Aitzol_Berasategi.png", 58, (
        (163, 200), (172, 201), (180, 206), (186, 213), (194, 222), (199, 231),
        (199, 246), (197, 259), (196, 269), (186, 270), (180, 265), (179, 256),
        (172, 260), (160, 257), (154, 260), (147, 256), (142, 248), (140, 235),
        (139, 222), (142, 211), (152, 203),
    )),
    "dandelion": ("val/seeding_by_Clements_Engelhardt.png", 62, tuple(
        (131 + 64 * np.cos(turn), 82 + 57 * np.sin(turn))
        for turn in np.linspace(0, 2 * np.pi, 32, endpoint=False)
    )),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Scene:
    """What moves over what.

    Attributes:
        name: of the sequence's folder.
        target: the thing to follow, one of `THINGS`.
        over: the photograph behind it.
        others: things that move too, behind the target.
        before: things that move in front of it.
        pace: how far the target goes from one turning point to the next, pixels.
        light: how bright the target is, beside its photograph.
    """

    name: str
    target: str
    over: str
    others: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    pace: float = 80
    light: float = 1


MEADOW = "train/aitzgorri_by_Aitzol_Berasategi.jpg"
BRUSHES = "train/Picture_1A_by_freespace.jpg"
STREAM = "train/life_by_Aitzol_Berasategi.jpg"
MOUNTAINS = "train/picosdeeuropa_by_Aitzol_Berasategi.jpg"
SUNSET = "train/sunset_by_Aitzol_Berasategi.jpg"
ROOM = "train/Wine_by_Jakkub_Mede.jpg"
HOUSE = "val/friends_by_Aitzol_Berasategi.png"
BOWL = "val/Picture_0B_by_freespace.png"
DANDELIONS = "val/seeding_by_Clements_Engelhardt.png"

SCENES = {
    "train": (
        Scene("pink_brush", "pink brush", MOUNTAINS, others=("yellow brush",)),
        Scene("drum", "drum", MEADOW, before=("fir",)),
        Scene("bottle", "bottle", STREAM, pace=70),
        Scene("stone_table", "stone table", ROOM, light=1.8),
        Scene("fir", "fir", SUNSET, others=("rock",), light=1.2),
        Scene("round_brush", "round brush", STREAM, others=("pink brush",)),
        Scene("loudspeaker", "loudspeaker", BRUSHES, light=1.3, pace=90),
        Scene("rock", "rock", MEADOW, before=("bottle",), pace=70),
    ),
    "val": (
        Scene("fig", "fig", HOUSE, others=("dandelion",)),
        Scene("dog", "tongue dog", DANDELIONS, others=("lower dog",), light=1.1),
        Scene("other_dog", "lower dog", BOWL, before=("fig",), pace=70),
        Scene("dandelion", "dandelion", HOUSE, before=("lower dog",), pace=90),
    ),
}
