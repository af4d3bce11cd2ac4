"""The machine that executes PTX computes what PTX means, sees forbidden accesses, refuses what it does not know."""

import numpy as np
import pytest

from proofs import ptx
from proofs.cases import CASES

THREADS = 64

KERNEL = """
.version 9.0
.target sm_90
.address_size 64
.visible .entry kernel(.param .u64 kernel_param_0, .param .u64 kernel_param_1)
{{
    .reg .pred %p<4>;
    .reg .b16 %rs<4>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<8>;
    ld.param.u64 %rd1, [kernel_param_0];
    ld.param.u64 %rd2, [kernel_param_1];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd3, %r1, 4;
    add.s64 %rd4, %rd1, %rd3;    // this thread's element of the input
    add.s64 %rd5, %rd2, %rd3;    // and of the output
{body}
    ret;
}}
"""


def execute(body, given=None, size=THREADS):
    """Run a kernel in which every thread has an element of the input and of the output; return the output."""
    source = np.arange(THREADS, dtype=np.uint32) if given is None else np.array(given)
    target = np.zeros(size, np.uint32)
    memory = ptx.Memory([(array.ctypes.data, array.nbytes) for array in (source, target)])
    ptx.run(ptx.parse(KERNEL.format(body=body)), (1, 1, 1), THREADS, [source.ctypes.data, target.ctypes.data], memory)
    return target


def through(*instructions):
    """Load %r2, execute instructions, store %r3."""
    return "\n".join(["ld.global.b32 %r2, [%rd4];", *instructions, "st.global.b32 [%rd5], %r3;"])


THREAD = np.arange(THREADS, dtype=np.int64)


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("sub.s32 %r3, %r2, 40;", (THREAD - 40) % 2**32),
        ("mad.lo.s32 %r3, %r2, -3, 7;", (7 - 3 * THREAD) % 2**32),
        ("mul.hi.u32 %r3, %r2, 0x80000000;", THREAD // 2),
        ("shl.b32 %r3, %r2, 30;", (THREAD << 30) % 2**32),
        ("shr.s32 %r3, %r2, 40;", 0 * THREAD),
        ("div.s32 %r3, -7, 2;", 0 * THREAD + 2**32 - 3),
        ("rem.u32 %r3, %r2, 5;", THREAD % 5),
        ("bfe.u32 %r3, %r2, 1, 2;", THREAD // 2 % 4),
        ("bfe.s32 %r3, %r2, 0, 1;", THREAD % 2 * (2**32 - 1)),
        ("prmt.b32 %r3, %r2, 0xAABBCCDD, 0x7054;", 0xAA00CCDD + (THREAD << 16)),
        ("shf.l.wrap.b32 %r3, 0x80000000, %r2, 1;", 2 * THREAD + 1),
        ("cvt.rn.f32.s32 %r3, %r2;", THREAD.astype(np.float32).view(np.uint32)),
        ("mov.b32 {%rs1, %rs2}, %r2; mov.b32 %r3, {%rs2, %rs1};", THREAD << 16),
        ("setp.lt.u32 %p1, %r2, 9; selp.b32 %r3, 1, 2, %p1;", np.where(THREAD < 9, 1, 2)),
        ("mov.u32 %r3, 0; @!%p1 mov.u32 %r3, 5;", 0 * THREAD + 5),
        ("cvt.s64.s32 %rd6, -1; shr.u64 %rd6, %rd6, 40; cvt.u32.u64 %r3, %rd6;", 0 * THREAD + 2**24 - 1),
        ("fma.rn.f32 %r3, 0f3F800001, 0f3F800001, 0fBF800002;", 0 * THREAD + 0x28800000),  # 2⁻⁴⁶: fused
        ("cvt.rn.bf16x2.f32 %r3, 0f3F808000, 0f3F818000;", 0 * THREAD + 0x3F803F82),  # both halfway, to even
        ("shfl.sync.idx.b32 %r3, %r2, 3, 31, -1;", THREAD // 32 * 32 + 3),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_instruction_means_what_ptx_says(instruction, expected):
    np.testing.assert_array_equal(execute(through(instruction)), expected)


def test_threads_that_branch_apart_meet_again():
    body = through(
        "mov.u32 %r3, 0; and.b32 %r4, %r2, 7;",
        "$AGAIN: setp.eq.u32 %p1, %r4, 0; @%p1 bra $DONE;",
        "add.s32 %r3, %r3, 10; sub.s32 %r4, %r4, 1; bra.uni $AGAIN;",
        "$DONE: bar.sync 0;",
    )
    np.testing.assert_array_equal(execute(body), THREAD % 8 * 10)


def test_a_transposed_matrix_store_is_undone_by_a_transposed_load():
    body = through(
        "and.b32 %r4, %r2, 31; shr.u32 %r5, %r2, 5; shl.b32 %r5, %r5, 9; shl.b32 %r4, %r4, 4; or.b32 %r4, %r4, %r5;",
        "stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%r4], {%r2}; bar.sync 0;",
        "ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%r3}, [%r4];",
    )
    np.testing.assert_array_equal(execute(body), THREAD)


def test_a_transposed_matrix_load_transposes():
    body = through(
        "and.b32 %r4, %r2, 31; shr.u32 %r5, %r2, 5; shl.b32 %r5, %r5, 9; shl.b32 %r4, %r4, 4; or.b32 %r4, %r4, %r5;",
        "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r4], {%r2}; bar.sync 0;",
        "ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%r3}, [%r4];",
    )
    # Each warp stores a matrix whose row r holds the halves of the registers of its threads 4r … 4r + 3.
    stored = THREAD.astype(np.uint32).view(np.uint16).reshape(2, 8, 8)
    expected = np.ascontiguousarray(stored.swapaxes(1, 2)).view(np.uint32).reshape(-1)
    np.testing.assert_array_equal(execute(body), expected)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("st.global.b32 [%rd5 + 4], %r1;", "outside"),
        ("ld.global.b32 %r2, [%rd4 + -4];", "outside"),
        ("st.global.b32 [%rd4 + 2], %r1;", "aligned"),
        ("st.global.b32 [%rd2], %r1;", "two threads write"),
        ("ld.global.b32 %r2, [%rd1]; st.global.b32 [%rd4], %r2;", "in no order"),
        ("setp.lt.u32 %p1, %r1, 7; @%p1 bar.sync 0;", "barrier"),
        ("setp.lt.u32 %p1, %r1, 7; @%p1 shfl.sync.idx.b32 %r2, %r1, 9, 31, -1;", "lane"),
    ],
)
def test_an_access_that_is_wrong_is_seen(body, complaint):
    with pytest.raises(ptx.AccessError, match=complaint):
        execute(body)


def test_a_barrier_between_a_read_and_a_write_is_enough():
    np.testing.assert_array_equal(
        execute("ld.global.b32 %r2, [%rd1 + 16]; bar.sync 0; st.global.b32 [%rd4], %r1; st.global.b32 [%rd5], %r2;"), 4
    )


@pytest.mark.parametrize(
    "instruction",
    [
        "mul.ftz.f32 %r3, %r2, %r2;",
        "cos.approx.f32 %r3, %r2;",
        "add.rz.f32 %r3, %r2, %r2;",
        "atom.global.add.u32 %r3, [%rd5], 1;",
        "vote.sync.any.pred %p1, %p1, -1;",
        "fma.rn.f64 %rd6, %rd6, %rd6, %rd6;",
        "cvt.rz.f16.f32 %rs1, %r2;",
        "ld.volatile.global.b32 %r3, [%rd4];",
        "mov.u32 %r3, %clock;",
    ],
)
def test_what_the_machine_does_not_know_it_refuses(instruction):
    with pytest.raises(ptx.UnsupportedError):
        execute(instruction)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", CASES)
def test_a_kernel_that_does_nothing_would_be_seen(name):
    from proofs.tensors import Call

    problem = Call(CASES[name]).run(lambda *arguments, **options: None)
    assert problem.startswith("q")


@pytest.mark.backend("torch")
def test_a_write_beside_the_tensor_would_be_seen():
    from proofs.tensors import Call

    call = Call(CASES["in_place table pairs=12 mixed"])
    assert call.k.difference(call.given.k) is None
    call.k.buffer[0, 0, 0, -1] = 0
    assert call.k.difference(call.given.k).startswith("1 of")
