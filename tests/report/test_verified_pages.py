"""The page takes what ``secateur verify`` really writes."""

import json

from moving import Pendulum
from sample_kept import kept, search
from sample_run import sample
from test_verification import closed, outcome_of, proof_of  # noqa: F401

from secateur.report.html import render_html
from secateur.report.proof import verified
from secateur.runfolder import to_json


def test_a_page_is_drawn_of_a_real_document():
    asked = {"episodes": 40, "stress_pairs": 4, "deviation": True, "region": True}
    parts, verdict = outcome_of(proof_of(Pendulum(gain=3.0), **asked), ("pushes",))
    document = json.loads(to_json({"device": "torch", "verdict": verdict, "verification": parts}))
    found = verified(document)
    assert found["test_rows"][0][0] == "Mean return"
    assert found["profile"]
    assert found["deviation"]
    assert found["region"]
    assert len(found["region_rows"]) == len(parts["region"]["cells"])
    page = render_html(sample(search=search()), kept(verification=document))
    for title in ("Verification", "Robustness profile", "Where actions differ", "Region of attraction"):
        assert f">{title}" in page
    assert "Which component costs the return" not in page
