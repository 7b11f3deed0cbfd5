import numpy as np
import numpy.typing as npt

NUMBER_BYTES: int

def read(
    offsets: npt.NDArray[np.int32],
    data: npt.NDArray[np.uint8],
    keys: npt.NDArray[np.uint8],
    key_offsets: npt.NDArray[np.int32],
    values: npt.NDArray[np.uint8],
    value_offsets: npt.NDArray[np.int32],
    others: npt.NDArray[np.int32],
) -> int | None: ...
