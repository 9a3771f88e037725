"""LSTM that reads its earlier states by attention: the LSTMN."""

from dataclasses import dataclass

from gatelab.cells import Attention
from gatelab.cells.lstm import LSTM
from gatelab.options import option


@dataclass(frozen=True)
class AttentionLSTM(LSTM):
    """LSTM that reads earlier states back, weighted by attention; the LSTMN.

    ```
    e_j = v . tanh(K h_j + Q x + P h~(t-1))     j = t-window ... t-1      (score=additive)
    e_j = (K h_j) . (Q x + P h~(t-1)) / sqrt(H)                           (score=dot)
    w   = softmax(e)        h~ = sum_j w_j h_j        c~ = sum_j w_j c_j
    i, f, z, o from W x + R h~ + b, as in lstm
    c = f . c~ + i . z
    h = o . tanh(c)
    ```

    The initial state is the first entry of the tape, and h~ starts from it. `window=1` reads h(t-1), c(t-1) alone and is `lstm`.
    A state handed on to the next call starts a new tape.

    Bounds: |h| < 1; |c| exceeds the largest |c_j| read by less than 1. Cost: O(T . window) time and memory a sequence.

    Differs from the paper: the dot score and the window are additions. The authors' released code leaves out P h~(t-1).
    The forget bias of 1 is not theirs.

    References:
        Cheng, Dong & Lapata 2016, EMNLP, Sec. 3 (arXiv 1601.06733).
    """

    score: str = option("additive", "how an earlier state is scored", choices=("additive", "dot"))
    window: int | None = option(16, "steps back that are read; null: all, as in the paper", minimum=1)

    @property
    def memory(self) -> Attention:
        return Attention(score=self.score, window=self.window)
