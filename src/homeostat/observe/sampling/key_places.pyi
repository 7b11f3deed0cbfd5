import numpy as np
import numpy.typing as npt

def find(
    offsets: npt.NDArray[np.int32],
    data: npt.NDArray[np.uint8],
    serialized: bool,
    keys: bytes,
    key_ends: npt.NDArray[np.int32],
    places: npt.NDArray[np.int32],
    which: npt.NDArray[np.int32],
) -> int: ...
