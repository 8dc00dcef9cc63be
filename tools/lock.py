"""Write requirements.lock anew: install the package with all extras into a clean environment and freeze it.

    python3 tools/lock.py

The lock is a list of constraints (`pip install -c requirements.lock -e .`), not of requirements: it names no package of one platform only, so that the
same file serves a CPU and a CUDA build of torch, on Linux, macOS and Windows.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TORCH = "2.13.0"
HEAD = "# Written by `make lock`. Use as constraints: pip install -c requirements.lock -e .\n"
OURS_OR_PLATFORM = re.compile(r"^(gensr|nvidia-.*|triton|cuda-.*|pip|setuptools|wheel)\b")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", f"torch=={TORCH}", "-e", f"{ROOT}[scale,export,dev]"], check=True)
        frozen = subprocess.run([*pip, "freeze", "--exclude-editable"], check=True, capture_output=True, text=True).stdout
    lines = [re.sub(r"\+\S+$", "", line) for line in frozen.splitlines() if "==" in line and not OURS_OR_PLATFORM.match(line)]
    (ROOT / "requirements.lock").write_text(HEAD + "\n".join(sorted(lines, key=str.lower)) + "\n", encoding="utf-8")
    print(f"requirements.lock: {len(lines)} packages")


if __name__ == "__main__":
    main()
