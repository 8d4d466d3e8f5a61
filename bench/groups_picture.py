"""Draws docs/img/groups.svg from the graph of a shipped policy: ``python bench/groups_picture.py``."""

from pathlib import Path

from markupsafe import Markup

PICTURE = Path(__file__).parent.parent / "docs" / "img" / "groups.svg"
POLICY = "tdmpc_cartpole"
WIDTH, ROW, LEFT, LATENT = 820, 62, 20, 344
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1d2321; } .name { font-weight: 600; } .soft { fill: #5c6763; }
.paper { fill: #fff; } .part { fill: #f4f6f5; stroke: #a9b3b8; } .group { fill: #dfe3e0; stroke: #5c6763; }
.coupling { fill: #2f7d6d; } .flow { stroke: #2f7d6d; stroke-width: 2; fill: none; }
.white { fill: #fff; font-weight: 600; }
</style>"""


def drawn() -> str:
    """The picture, as SVG."""
    from secateur.policy.load import load
    from secateur.prune.analyse import analyse

    policy = load(POLICY).policy
    graph = analyse(policy)
    (latent,) = [group for group in graph.groups if group.coupling]
    inside = {name: [g for g in graph.groups if g.components == (name,)] for name in graph.components}
    others = [name for name in graph.components if name != latent.components[0]]
    height = 74 + ROW * len(others)
    middle = 44 + ROW * len(others) / 2
    shapes = [
        _part(graph.components[0], inside[graph.components[0]], LEFT, middle - 24, 250),
        Markup('<path class="flow" d="M270 {0}H{1}"/>').format(middle, LATENT),
        Markup('<rect class="coupling" x="{}" y="40" width="104" height="{}" rx="8"/>').format(
            LATENT, ROW * len(others) - 6
        ),
        Markup('<text class="white" x="{0}" y="{1}" text-anchor="middle">{2}</text>').format(
            LATENT + 52, middle - 4, latent.name
        ),
        Markup('<text class="white" x="{0}" y="{1}" text-anchor="middle">{2} channels</text>').format(
            LATENT + 52, middle + 15, latent.width
        ),
    ]
    for row, name in enumerate(others):
        y = 44 + ROW * row
        shapes.append(Markup('<path class="flow" d="M{0} {1}H{2}"/>').format(LATENT + 104, y + 24, 510))
        shapes.append(_part(name, inside[name], 510, y, 290))
    words = f"Grey: inside one component. Green: couples {', '.join(latent.components)}."
    shapes.append(Markup('<text class="soft" x="{}" y="{}">{}</text>').format(LEFT, height - 8, words))
    title = f"Pruning groups of {POLICY}: {len(graph.groups) - 1} inside components, one that couples all"
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" role="img"><title>{2}</title>'
    ).format(WIDTH, height, title)
    paper = f'<rect class="paper" width="{WIDTH}" height="{height}"/>'
    heads = Markup(
        '<text class="soft" x="{}" y="24">{}</text><text class="soft" x="{}" y="24">{}</text>'
    ).format(LATENT, "the latent", 510, "all that read it")
    return "".join([head, STYLE, paper, heads, *shapes, "</svg>\n"])


def _part(name, groups, x, y, width):
    """A component with its own groups."""
    shapes = Markup('<rect class="part" x="{}" y="{}" width="{}" height="50" rx="8"/>').format(x, y, width)
    shapes += Markup('<text class="name" x="{}" y="{}">{}</text>').format(x + 12, y + 30, name)
    shown = groups[:3]
    each = (width - 104) / max(len(shown), 1)
    for index, group in enumerate(shown):
        left = x + 98 + each * index
        shapes += Markup(
            '<g><title>{0}: {1} channels</title><rect class="group" x="{2:.0f}" y="{3}" width="{4:.0f}" '
            'height="30" rx="5"/><text x="{5:.0f}" y="{6}" text-anchor="middle">{7}</text></g>'
        ).format(
            *(group.name, group.width, left, y + 10, each - 6, left + each / 2 - 3, y + 30),
            group.width if index < 2 or len(groups) <= 3 else f"+{len(groups) - 2}",
        )
    return shapes


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
