"""Settings that must stand before torch and LiteRT are imported."""

import os
import tempfile

os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["SECATEUR_CACHE"] = tempfile.mkdtemp(prefix="secateur-tests-")
