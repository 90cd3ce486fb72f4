"""Vector instructions for kernels: `Lanes` numbers side by side, where numba's compiler keeps to one after the other.

LLVM makes vector instructions of straight loops over arrays of their own. It does not if a loop is short, reads and
writes the same array, or where each lane reads from somewhere else, as in drawing pixels. An `intrinsic` of numba's
writes such a loop's body by hand, for any processor: LLVM cuts vectors to what there is.

    @intrinsic
    def add(context, address, value):
        def body(builder, address, value):
            (Lanes.load(builder, address) + Lanes.of(builder, value)).store(address)
        return made_by(body, types.int64, types.float32)
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

N_LANES = 8
f32, i32, i64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)


class Lanes:
    """`N_LANES` numbers of one type, float32 unless said otherwise, while a kernel is compiled.

    `a * b + c` appends instructions for it, each rounded by itself; numbers on the right are the same in all lanes.
    Comparisons give lanes of bits, false for NaN.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value, self.type = builder, value, value.type.element

    @classmethod
    def of(cls, builder: Any, number: Any) -> "Lanes":
        """The same number, of the kernel or a constant float, in all lanes."""
        if isinstance(number, (int, float, np.number)):
            return cls._constant(builder, f32, [float(number)] * N_LANES)
        vector = ir.VectorType(number.type, N_LANES)
        nothing = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(nothing, number, ir.Constant(i32, 0))
        zeros = ir.Constant(ir.VectorType(i32, N_LANES), [0] * N_LANES)
        return cls(builder, builder.shuffle_vector(first, nothing, zeros))

    @classmethod
    def count(cls, builder: Any) -> "Lanes":
        """0, 1, 2, and so on."""
        return cls._constant(builder, f32, [float(k) for k in range(N_LANES)])

    @classmethod
    def _constant(cls, builder: Any, kind: Any, values: list[Any]) -> "Lanes":
        return cls(builder, ir.Constant(ir.VectorType(kind, N_LANES), values))

    @classmethod
    def load(cls, builder: Any, address: Any, kind: Any = f32) -> "Lanes":
        """From consecutive places in memory."""
        place = builder.inttoptr(address, ir.PointerType(ir.VectorType(kind, N_LANES)))
        return cls(builder, builder.load(place, align=4))

    def store(self, address: Any) -> None:
        """To consecutive places in memory."""
        self.builder.store(self.value, self.builder.inttoptr(address, ir.PointerType(self.value.type)), align=4)

    def gather(self, address: Any) -> "Lanes":
        """32-bit integers from an address plus these lanes, 64-bit integers, bytes."""
        builder, kind = self.builder, ir.VectorType(i32, N_LANES)
        found = ir.Constant(kind, ir.Undefined)
        for k in range(N_LANES):
            lane = ir.Constant(i32, k)
            place = builder.inttoptr(
                builder.add(address, builder.extract_element(self.value, lane)), ir.PointerType(i32)
            )
            found = builder.insert_element(found, builder.load(place, align=1), lane)
        return Lanes(builder, found)

    def choose(self, yes: "Lanes", no: "Lanes | float") -> "Lanes":
        """Of lanes of bits: `yes` where they are set, else `no`."""
        return Lanes(self.builder, self.builder.select(self.value, yes.value, self._like(no, yes.type).value))

    def as_bits(self) -> Any:
        """Lanes of bits as one int32, the first lowest."""
        return self.builder.zext(self.builder.bitcast(self.value, ir.IntType(N_LANES)), i32)

    def as_integers(self) -> "Lanes":
        """float32 as 32-bit integers, cut toward zero."""
        return Lanes(self.builder, self.builder.fptosi(self.value, ir.VectorType(i32, N_LANES)))

    def as_floats(self) -> "Lanes":
        """32-bit integers as float32."""
        return Lanes(self.builder, self.builder.sitofp(self.value, ir.VectorType(f32, N_LANES)))

    def as_long(self) -> "Lanes":
        """32-bit integers, not negative, as 64-bit ones."""
        return Lanes(self.builder, self.builder.zext(self.value, ir.VectorType(i64, N_LANES)))

    def size(self) -> "Lanes":
        """Absolute values."""
        bits = self.builder.bitcast(self.value, ir.VectorType(i32, N_LANES))
        positive = (Lanes(self.builder, bits) & 0x7FFFFFFF).value
        return Lanes(self.builder, self.builder.bitcast(positive, self.value.type))

    def _like(self, other: Any, kind: Any) -> "Lanes":
        if isinstance(other, Lanes):
            return other
        return self._constant(self.builder, kind, [float(other) if kind == f32 else int(other)] * N_LANES)

    def _with(self, other: Any, of_floats: str, of_integers: str) -> "Lanes":
        name = of_floats if self.type == f32 else of_integers
        return Lanes(self.builder, getattr(self.builder, name)(self.value, self._like(other, self.type).value))

    def _compared(self, how: str, other: Any) -> "Lanes":
        other = self._like(other, self.type).value
        compare = self.builder.fcmp_ordered if self.type == f32 else self.builder.icmp_signed
        return Lanes(self.builder, compare(how, self.value, other))

    def __add__(self, other: Any) -> "Lanes":
        return self._with(other, "fadd", "add")

    def __sub__(self, other: Any) -> "Lanes":
        return self._with(other, "fsub", "sub")

    def __mul__(self, other: Any) -> "Lanes":
        return self._with(other, "fmul", "mul")

    def __and__(self, other: Any) -> "Lanes":
        return self._with(other, "", "and_")

    def __or__(self, other: Any) -> "Lanes":
        return self._with(other, "", "or_")

    def __lshift__(self, other: int) -> "Lanes":
        return self._with(other, "", "shl")

    def __rshift__(self, other: int) -> "Lanes":
        return self._with(other, "", "lshr")

    def __ge__(self, other: Any) -> "Lanes":
        return self._compared(">=", other)

    def __gt__(self, other: Any) -> "Lanes":
        return self._compared(">", other)

    def __le__(self, other: Any) -> "Lanes":
        return self._compared("<=", other)

    def __lt__(self, other: Any) -> "Lanes":
        return self._compared("<", other)


def made_by(body: Callable[..., Any], *kinds: Any, returns: Any = types.void) -> tuple[Any, Any]:
    """What an intrinsic returns: its signature, of arguments of these types, and the code of `body(builder, *them)`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = body(builder, *arguments)
        return context.get_dummy_value() if found is None else found

    return returns(*kinds), code
