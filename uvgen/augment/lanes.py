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
f32, i8, i16, i32, i64 = ir.FloatType(), *(ir.IntType(n) for n in (8, 16, 32, 64))


class Lanes:
    """`N_LANES` numbers of one type, float32 unless said otherwise, while a kernel is compiled.

    `a * b + c` appends instructions for it, each rounded by itself; numbers on the right are the same in all lanes.
    Comparisons give lanes of bits, false for NaN.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value, self.type = builder, value, value.type.element

    @classmethod
    def of(cls, builder: Any, number: Any, n: int = N_LANES) -> "Lanes":
        """The same number, of the kernel or a constant float, in all lanes."""
        if isinstance(number, (int, float, np.number)):
            return cls._constant(builder, f32, [float(number)] * n)
        vector = ir.VectorType(number.type, n)
        nothing = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(nothing, number, ir.Constant(i32, 0))
        zeros = ir.Constant(ir.VectorType(i32, n), [0] * n)
        return cls(builder, builder.shuffle_vector(first, nothing, zeros))

    @classmethod
    def each_of(cls, builder: Any, numbers: Any) -> "list[Lanes]":
        """For each number of a tuple of the kernel, that number in all lanes."""
        return [cls.of(builder, number) for number in parts(builder, numbers)]

    @classmethod
    def listed(cls, builder: Any, *numbers: float) -> "Lanes":
        """`N_LANES` constants."""
        return cls._constant(builder, f32, [float(number) for number in numbers])

    @classmethod
    def _constant(cls, builder: Any, kind: Any, values: list[Any]) -> "Lanes":
        return cls(builder, ir.Constant(ir.VectorType(kind, len(values)), values))

    @classmethod
    def load(cls, builder: Any, address: Any, kind: Any = f32, n: int = N_LANES, align: int = 4) -> "Lanes":
        """From consecutive places in memory."""
        place = builder.inttoptr(address, ir.PointerType(ir.VectorType(kind, n)))
        return cls(builder, builder.load(place, align=align))

    def store(self, address: Any, align: int = 4) -> None:
        """To consecutive places in memory."""
        place = self.builder.inttoptr(address, ir.PointerType(self.value.type))
        self.builder.store(self.value, place, align=align)

    def each(self) -> list[Any]:
        """The lanes as numbers of the kernel."""
        return [self.builder.extract_element(self.value, ir.Constant(i32, k)) for k in range(N_LANES)]

    def shuffled(self, *lanes: int) -> "Lanes":
        """Some of these lanes in another order, as many as are named."""
        nothing = ir.Constant(self.value.type, ir.Undefined)
        order = ir.Constant(ir.VectorType(i32, len(lanes)), list(lanes))
        return Lanes(self.builder, self.builder.shuffle_vector(self.value, nothing, order))

    def beside(self, others: "Lanes") -> "Lanes":
        """These lanes, then as many others."""
        order = ir.Constant(ir.VectorType(i32, 2 * self.value.type.count), list(range(2 * self.value.type.count)))
        return Lanes(self.builder, self.builder.shuffle_vector(self.value, others.value, order))

    def viewed(self, kind: Any) -> "Lanes":
        """The same bits as numbers of another size, as many as they make."""
        n = self.value.type.count * self.type.width // kind.width
        return Lanes(self.builder, self.builder.bitcast(self.value, ir.VectorType(kind, n)))

    def dot(self, others: "Lanes") -> "Lanes":
        """16-bit integers, not negative, times others, signed: sums of two each, 32 bits; one instruction on x86."""
        builder, n = self.builder, self.value.type.count
        wide = ir.VectorType(i32, n)
        product = Lanes(builder, builder.mul(builder.sext(self.value, wide), builder.sext(others.value, wide)))
        return product.shuffled(*range(0, n, 2)) + product.shuffled(*range(1, n, 2))

    def choose(self, yes: "Lanes", no: "Lanes | float") -> "Lanes":
        """Of lanes of bits: `yes` where they are set, else `no`."""
        return Lanes(self.builder, self.builder.select(self.value, yes.value, self._like(no, yes.type).value))

    def as_masks(self) -> "Lanes":
        """Lanes of bits as 32-bit integers: -1 where they are set, else 0."""
        return Lanes(self.builder, self.builder.sext(self.value, ir.VectorType(i32, N_LANES)))

    def as_bits(self) -> Any:
        """Lanes of bits as one int32, the first lowest."""
        return self.builder.zext(self.builder.bitcast(self.value, ir.IntType(N_LANES)), i32)

    def as_integers(self) -> "Lanes":
        """float32 as 32-bit integers, cut toward zero."""
        return Lanes(self.builder, self.builder.fptosi(self.value, self._of(i32)))

    def as_floats(self) -> "Lanes":
        """32-bit integers as float32."""
        return Lanes(self.builder, self.builder.sitofp(self.value, self._of(f32)))

    def as_long(self) -> "Lanes":
        """32-bit integers, not negative, as 64-bit ones."""
        return Lanes(self.builder, self.builder.zext(self.value, self._of(i64)))

    def size(self) -> "Lanes":
        """Absolute values."""
        bits = self.builder.bitcast(self.value, ir.VectorType(i32, N_LANES))
        positive = (Lanes(self.builder, bits) & 0x7FFFFFFF).value
        return Lanes(self.builder, self.builder.bitcast(positive, self.value.type))

    def narrowed(self) -> "Lanes":
        """32-bit integers as bytes: their lowest."""
        return Lanes(self.builder, self.builder.trunc(self.value, self._of(i8)))

    def widened(self) -> "Lanes":
        """Bytes, not negative, as 32-bit integers."""
        return Lanes(self.builder, self.builder.zext(self.value, self._of(i32)))

    def _of(self, kind: Any) -> Any:
        return ir.VectorType(kind, self.value.type.count)

    def _like(self, other: Any, kind: Any) -> "Lanes":
        if isinstance(other, Lanes):
            return other
        number = float(other) if kind == f32 else int(other)
        return self._constant(self.builder, kind, [number] * self.value.type.count)

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


def parts(builder: Any, values: Any) -> list[Any]:
    """What a tuple of the kernel holds."""
    return [builder.extract_value(values, k) for k in range(values.type.count)]


def made_by(body: Callable[..., Any], *kinds: Any, returns: Any = types.void) -> tuple[Any, Any]:
    """What an intrinsic returns: its signature, of arguments of these types, and the code of `body(builder, *them)`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = body(builder, *arguments)
        return context.get_dummy_value() if found is None else found

    return returns(*kinds), code
