"""Compiles the modules on the path of a message to machine code, in place.

``python -m tools.compile`` does it, ``--clean`` undoes it.

The modules are typed Python and run uncompiled just as well, at two thirds of the speed. mypyc, the
compiler that comes with mypy, turns each into an extension module beside its source, which Python
then prefers. `stale` tells whether a source has changed since; `make` compiles anew when one has.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODULES = (
    "ledger/model.py",
    "ledger/schema.py",
    "ledger/packing.py",
    "ledger/codec.py",
    "ledger/chart.py",
    "ledger/view.py",
    "ledger/staging.py",
    "engine/commands.py",
    "engine/records.py",
    "engine/keytree.py",
    "engine/persons.py",
    "engine/reasons.py",
    "engine/points.py",
    "engine/value.py",
    "engine/cards.py",
    "engine/draft.py",
    "engine/rulebook.py",
    "engine/pools.py",
    "engine/limits.py",
    "engine/earning.py",
    "engine/revenue.py",
    "engine/trail.py",
    "engine/machine.py",
    "engine/rules/points.py",
    "engine/rules/value.py",
    "engine/rules/products.py",
    "engine/rules/holds.py",
    "engine/rules/transfers.py",
    "engine/rules/exchange.py",
    "engine/gifts.py",
    "engine/rules/gifts.py",
    "engine/lotteries.py",
    "engine/rules/lotteries.py",
    "engine/feistel.py",
    "engine/rrn.py",
    "engine/vault.py",
    "engine/ff1.py",
    "engine/codes.py",
    "engine/recharge.py",
    "engine/rules/code_batches.py",
    "engine/rules/recharge.py",
    "engine/rules/undo.py",
    "engine/rules/refund.py",
    "engine/rules/members.py",
    "engine/rules/cards.py",
    "engine/ladder.py",
    "engine/rules/tiers.py",
    "engine/rules/terminals.py",
    "engine/rules/custody.py",
    "engine/rules/reference.py",
    "engine/rules/expiry.py",
    "engine/rules/offline.py",
    "engine/rules/limits.py",
    "engine/rules/rewards.py",
    "engine/rules/adjustments.py",
    "engine/rules/earning.py",
    "engine/campaigns.py",
    "engine/rules/coupons.py",
    "engine/rules/coupon_undo.py",
    "engine/rules/coupon_inquiry.py",
    "engine/catalogue.py",
    "engine/tariffs.py",
    "engine/terms.py",
    "engine/batches.py",
    "engine/rounding.py",
    "posd/exchange.py",
    "posd/host.py",
    "posd/incoming.py",
    "posd/pins.py",
    "posd/builders/points.py",
    "posd/builders/value.py",
    "posd/builders/holds.py",
    "posd/builders/transfers.py",
    "posd/builders/undo.py",
    "posd/builders/coupons.py",
    "posd/bindings.py",
    "posd/elements.py",
    "posd/downloads.py",
    "posd/cmac.py",
    "posd/terminals.py",
    "posd/metrics.py",
    "posd/framing.py",
    "posd/session.py",
    "posd/link.py",
    "posd/network.py",
    "posd/iso8583/assemble.py",
    "posd/iso8583/message.py",
    "posd/iso8583/decoding.py",
    "posd/iso8583/tlv.py",
    "clearing/settle.py",
)
"""Those that profiling showed; what waits for sockets or disks gains nothing."""

FLAGS = ("-fno-plt", "-fno-semantic-interposition", "-fvisibility=hidden")
"""What lets functions of these modules call each other and the interpreter directly."""


def compiled(source: Path) -> list[Path]:
    """The extension modules made from a source."""
    return list(source.parent.glob(f"{source.stem}.*.so"))


def stale() -> list[str]:
    """Sources that changed after they were compiled; their old extension would be used."""
    return [
        name
        for name in MODULES
        for made in compiled(ROOT / name)
        if made.stat().st_mtime < (ROOT / name).stat().st_mtime
    ]


def main() -> int:
    """Compile; returns the exit status."""
    for folder in (ROOT, *(ROOT / Path(name).parent for name in MODULES)):
        for made in folder.glob("*.so"):
            made.unlink(missing_ok=True)
    if "--clean" in sys.argv:
        return 0
    from mypyc.build import mypycify  # noqa: PLC0415 - `stale` is asked where no compiler is needed
    from setuptools import Distribution, Extension  # noqa: PLC0415 - as above
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415 - as above

    class Build(build_ext):  # type: ignore[misc]  # setuptools tells no types
        """Compiles the files of an extension side by side, on all processors."""

        def build_extension(self, ext: Any) -> None:
            compile_ = partial(
                self.compiler.compile,
                output_dir=self.build_temp,
                include_dirs=ext.include_dirs,
                extra_postargs=ext.extra_compile_args,
                depends=ext.depends,
            )
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                made = pool.map(lambda source: compile_([source]), ext.sources)
                ext.extra_objects = [path for paths in made for path in paths]
            ext.sources = []
            super().build_extension(ext)

    extensions: list[Extension] = mypycify(
        [str(name) for name in MODULES], opt_level="3", debug_level="0", multi_file=True
    )
    for extension in extensions:
        extension.extra_compile_args += FLAGS
    distribution = Distribution(
        {"name": "counterfoil", "ext_modules": extensions, "cmdclass": {"build_ext": Build}}
    )
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    command.force = True  # to link, too: it looks at sources, of which `Build` leaves it none
    command.build_temp = "build/mypyc"
    command.ensure_finalized()
    command.run()
    for name in MODULES:
        for made in compiled(ROOT / name):
            made.touch()  # what did not change is copied with the age it had
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
