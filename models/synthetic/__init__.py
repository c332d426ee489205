"""Synthetic videos with sound, made by rules from a seed: music, pictures edited to it, and the truth about both."""

from models.synthetic.film.captions import caption, scene_caption, scene_captions
from models.synthetic.film.directing import direct
from models.synthetic.film.editing import edit
from models.synthetic.film.people.casting import PEOPLE, kind_of_people
from models.synthetic.film.picture import frames
from models.synthetic.film.plan import FPS, Film, Scene
from models.synthetic.music.compose import compose
from models.synthetic.music.piece import Accent, Hit, Mood, Note, Outline, Piece, Section
from models.synthetic.music.render import render
from models.synthetic.rng import HELD_OUT, held_out, stream

__all__ = [
    "FPS",
    "HELD_OUT",
    "PEOPLE",
    "Accent",
    "Film",
    "Hit",
    "Mood",
    "Note",
    "Outline",
    "Piece",
    "Scene",
    "Section",
    "caption",
    "compose",
    "direct",
    "edit",
    "frames",
    "held_out",
    "kind_of_people",
    "render",
    "scene_caption",
    "scene_captions",
    "stream",
]
