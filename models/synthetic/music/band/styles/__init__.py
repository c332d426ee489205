"""The sixteen styles of the band, as data."""

from models.synthetic.music.band.styles.acoustic import FOLK, MINIMAL, PIANO, QUARTET
from models.synthetic.music.band.styles.electronic import HIPHOP, HOUSE, LOFI, SYNTHWAVE
from models.synthetic.music.band.styles.groove import BOSSA, FUNK, JAZZ
from models.synthetic.music.band.styles.guitars import POP, ROCK
from models.synthetic.music.band.styles.orchestral import AMBIENT, EPIC, ORCHESTRA

STYLES = {
    style.name: style
    for style in (
        PIANO, QUARTET, ORCHESTRA, EPIC, FOLK, JAZZ, BOSSA, FUNK,
        POP, ROCK, HIPHOP, LOFI, HOUSE, SYNTHWAVE, AMBIENT, MINIMAL,
    )
}  # fmt: skip
"""Styles by name."""

__all__ = ["STYLES"]
