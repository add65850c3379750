"""Letters: agreements, settlements, paid-in-full letters and statements as PDF, of a title and paragraphs.

It owns the page. What it says is the template's (`[[letters]]`), rendered and kept with the message; the same text is the same file, byte for byte.
"""

from __future__ import annotations

import io
from typing import Final

from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import LETTER
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

PDF: Final = "application/pdf"
MARGIN: Final = 25 * mm
_TITLE: Final = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=14, leading=18, spaceAfter=6 * mm)
_TEXT: Final = ParagraphStyle("text", fontName="Helvetica", fontSize=10.5, leading=15, spaceAfter=3.5 * mm, alignment=TA_JUSTIFY)  # fmt: skip


def pdf(title: str, text: str, *, foot: str = "") -> bytes:
    """Return a letter as PDF.

    Parameters
    ----------
    title
        Its first line.
    text
        Paragraphs, an empty line between them; a single line break is kept.
    foot
        In small letters at the end of every page, beside its number.
    """
    into = io.BytesIO()
    document = SimpleDocTemplate(
        into, pagesize=LETTER, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN,
        title=_plain(title), author="", creator="", producer="", invariant=1,
    )  # fmt: skip

    def end_of_page(canvas: Canvas, its: SimpleDocTemplate) -> None:
        canvas.saveState()
        canvas.setFont("Helvetica", 7.5)
        canvas.drawString(MARGIN, 12 * mm, _plain(foot)[:120])
        canvas.drawRightString(LETTER[0] - MARGIN, 12 * mm, str(its.page))
        canvas.restoreState()

    story: list[object] = [Paragraph(_escaped(title), _TITLE), Spacer(1, 2 * mm)]
    story += [
        Paragraph(_escaped(paragraph).replace("\n", "<br/>"), _TEXT)
        for paragraph in text.replace("\r\n", "\n").split("\n\n")
        if paragraph.strip()
    ]
    document.build(story, onFirstPage=end_of_page, onLaterPages=end_of_page)
    return into.getvalue()


def _plain(text: str) -> str:
    """Return a text in the characters that every PDF reader has a letter for; others become a question mark."""
    return text.encode("cp1252", "replace").decode("cp1252")


def _escaped(text: str) -> str:
    return _plain(text.strip()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
