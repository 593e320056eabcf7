"""The product of two matrices of 2048 x 2048 in fp32, again and again: what the core can do."""

from __future__ import annotations

from rounds import read_options, repeated, serve

SIDE = 2048


def main() -> None:
    read_options("product")
    import torch

    torch.set_num_threads(1)
    left, right, product = (torch.rand(SIDE, SIDE) for _ in range(3))

    def once() -> int:
        torch.mm(left, right, out=product)
        return 1

    serve({"versions": f"torch {torch.__version__}", "flop": 2.0 * SIDE**3}, repeated(once))


if __name__ == "__main__":
    main()
