"""`WordPieceEncoder`: padding and neighbours do not matter, words and their order do."""

from __future__ import annotations

import pytest
import torch

from rsgeo.models.word_piece_encoder import WordPieceEncoder


@pytest.fixture(scope="module")
def encoder() -> WordPieceEncoder:
    torch.manual_seed(0)
    encoder = WordPieceEncoder(vocab_size=50, dim=16, num_layers=2, num_heads=2, max_length=12)
    encoder.set_table(torch.randn(50, 16))
    return encoder.eval()


def encode(encoder: WordPieceEncoder, rows: list[list[int]], length: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    with torch.no_grad():
        states, pooled = encoder(ids, mask)
    return states, pooled


def close(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)


def test_padding_does_not_change_a_prompt(encoder: WordPieceEncoder) -> None:
    short, pooled = encode(encoder, [[1, 7, 9, 2]], 4)
    for length in (5, 12):
        states, vector = encode(encoder, [[1, 7, 9, 2]], length)
        close(states[:, :4], short)
        close(vector, pooled)
        assert (states[:, 4:] == 0).all()


def test_neighbours_do_not_change_a_prompt(encoder: WordPieceEncoder) -> None:
    alone, vector = encode(encoder, [[1, 7, 9, 2]], 12)
    states, pooled = encode(encoder, [[1, 5, 6, 7, 8, 9, 2], [1, 7, 9, 2], [1, 2]], 12)
    close(states[1:2], alone)
    close(pooled[1:2], vector)


def test_training_mode_gives_the_same(encoder: WordPieceEncoder) -> None:
    """In evaluation torch takes a fused path; what was trained must be what is run."""
    states, pooled = encode(encoder, [[1, 7, 9, 2], [1, 2]], 6)
    encoder.train()
    try:
        trained, vector = encode(encoder, [[1, 7, 9, 2], [1, 2]], 6)
    finally:
        encoder.eval()
    close(trained, states)
    close(vector, pooled)


def test_noise_on_the_table_is_for_training_only() -> None:
    torch.manual_seed(0)
    noisy = WordPieceEncoder(vocab_size=50, dim=16, num_layers=1, num_heads=2, max_length=12, table_noise=1.0)
    noisy.set_table(torch.randn(50, 16))
    first, second = (encode(noisy.train(), [[1, 7, 9, 2]], 4)[1] for _ in range(2))
    assert not torch.allclose(first, second, atol=1e-2)
    first, second = (encode(noisy.eval(), [[1, 7, 9, 2]], 4)[1] for _ in range(2))
    assert torch.equal(first, second)


def test_words_and_their_order_matter(encoder: WordPieceEncoder) -> None:
    vectors = [encode(encoder, [row], 6)[1] for row in ([1, 7, 9, 2], [1, 9, 7, 2], [1, 7, 8, 2])]
    assert not torch.allclose(vectors[0], vectors[1]) and not torch.allclose(vectors[0], vectors[2])


def test_the_table_is_kept_to_half_a_step() -> None:
    encoder, table = WordPieceEncoder(vocab_size=50, dim=16), torch.randn(50, 16)
    table[0] = 0  # padding
    encoder.set_table(table)
    kept = encoder.table.float() * encoder.table_scale[:, None]
    assert ((kept - table).abs() <= table.abs().amax(dim=1, keepdim=True) / 254 + 1e-7).all()
    assert not any(name.startswith("table") for name, _ in encoder.named_parameters())  # frozen
