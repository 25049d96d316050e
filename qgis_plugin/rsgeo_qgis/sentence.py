"""What goes wrong for a user, as one sentence that can be translated."""

from __future__ import annotations


class PluginError(Exception):
    """One sentence: what is wrong, and what to do. ``template`` is the English text with {names}, ``values`` what to put in their places.

    Modules without qgis raise it in English; the windows show ``translate(template).format(**values)``.
    """

    def __init__(self, template: str, **values: object) -> None:
        super().__init__(template.format(**values))
        self.template = template
        self.values = values
