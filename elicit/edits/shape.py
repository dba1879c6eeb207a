"""What a loaded model has of everything that a site names."""

from torch import nn

from elicit.sites import Shape


def shape_of(model: nn.Module) -> Shape:
    """Layers, heads and widths of a model."""
    cfg = model.cfg
    n_heads = int(cfg.n_heads)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    return Shape(
        n_layers=len(model.blocks),  # pyright: ignore[reportArgumentType]
        n_heads=n_heads,
        n_kv_heads=int(getattr(cfg, "n_key_value_heads", None) or n_heads),
        d_model=int(cfg.d_model),  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        d_head=int(cfg.d_head),  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        parallel=bool(getattr(cfg, "parallel_attn_mlp", False)),
    )
