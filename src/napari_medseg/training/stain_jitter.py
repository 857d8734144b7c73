"""Random strengths of stains: what differs most between two sections of the same tissue.

Colours are taken apart into haematoxylin, eosin and a third stain (A. C. Ruifrok and D. A. Johnston, "Quantification of
histochemical staining by color deconvolution", Anal. Quant. Cytol. Histol. 2001;23:291-299), each is made stronger or
weaker and moved a little, and put together again, as D. Tellez et al. did ("Whole-slide mitosis detection in H&E breast
histology using PHH3 as a reference to train distilled stain-invariant convolutional networks", IEEE Trans. Med. Imaging
2018;37:2126-2136).
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_medseg.data.intensity import Intensity

#: Optical densities (red, green, blue) of haematoxylin, eosin and DAB, one stain per row.
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
#: Largest shift of a stain, in optical density (natural logarithm), where its largest relative change is 1.
_SHIFT = 0.2
#: The darkest that counts, so that its density is finite.
_DARKEST = 1e-3


@torch.no_grad()
def jitter_stains(images: Tensor, intensity: Intensity, strength: float, generator: torch.Generator) -> Tensor:
    """Change the stains of each patch in its own random way.

    Parameters
    ----------
    images
        float32 (b, 3, y, x), normalised by `intensity`; other numbers of channels are returned as they are.
    intensity
        Tells what red, green and blue from 0 to 1 became.
    strength
        Largest relative change of a stain, 0 to 1.
    generator
        All randomness comes from it; it lies on the device of `images`.

    Returns
    -------
    float32 (b, 3, y, x), normalised
    """
    if images.shape[1] != 3 or not strength:
        return images
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (intensity.mean, intensity.std))
    uniform = torch.rand(2, len(images), 3, 1, 1, generator=generator, device=generator.device, dtype=images.dtype)
    scale, shift = (uniform * 2 - 1) * strength
    return (mixed(images * std + mean, 1 + scale, shift * _SHIFT) - mean) / std


def mixed(colours: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Colours whose stains were multiplied and moved.

    Parameters
    ----------
    colours
        (b, 3, y, x) from 0 to 1.
    scale, shift
        (b, 3, 1, 1), of haematoxylin, eosin and the third stain.
    """
    stains = colours.new_tensor(STAINS)
    stains = stains / stains.norm(dim=1, keepdim=True)
    density = -colours.clamp(_DARKEST, 1.0).log()
    amounts = torch.einsum("bcyx,cs->bsyx", density, torch.linalg.inv(stains))
    changed = torch.einsum("bsyx,sc->bcyx", amounts * scale + shift, stains)
    return (-changed).exp().clamp(0.0, 1.0)
