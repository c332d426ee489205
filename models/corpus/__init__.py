"""Ordinary videos with sound, made by rule from a seed: music, pictures edited to it, and the truth about both."""

from models.corpus.captions import caption, scene_caption, scene_captions
from models.corpus.chance import HELD_OUT, held_out, stream
from models.corpus.compose import compose
from models.corpus.film import edit
from models.corpus.picture import frames
from models.corpus.piece import Accent, Hit, Mood, Note, Piece, Section
from models.corpus.plan import FPS, Film, Scene
from models.corpus.render import render

__all__ = [
    "FPS",
    "HELD_OUT",
    "Accent",
    "Film",
    "Hit",
    "Mood",
    "Note",
    "Piece",
    "Scene",
    "Section",
    "caption",
    "compose",
    "edit",
    "frames",
    "held_out",
    "render",
    "scene_caption",
    "scene_captions",
    "stream",
]
