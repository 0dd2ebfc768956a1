"""A small vision transformer as a victim: torchvision's, with an attention that can be differentiated twice."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchvision.models.vision_transformer import VisionTransformer

PATCHES_A_SIDE = 8


class PlainVisionTransformer(VisionTransformer):  # type: ignore[misc]  # torchvision has no types
    """Attention as matrix products: the fused kernels know no second derivative."""

    def forward(self, x: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            logits: Tensor = super().forward(x)
            return logits


def small_transformer(num_classes: int, size_px: int) -> nn.Module:
    """A ViT (Dosovitskiy et al., ICLR 2021) of 4 layers, 4 heads and width 96 on 8 x 8 patches.

    torchvision begins the last layer at 0, which would leave all layers below without a gradient; here it begins as any
    linear layer does.
    """
    if size_px % PATCHES_A_SIDE:
        raise ValueError(f"the victim vit needs images of a multiple of {PATCHES_A_SIDE} px, got {size_px}")
    network = PlainVisionTransformer(
        image_size=size_px,
        patch_size=size_px // PATCHES_A_SIDE,
        num_layers=4,
        num_heads=4,
        hidden_dim=96,
        mlp_dim=192,
        num_classes=num_classes,
    )
    network.heads.head.reset_parameters()
    return network
