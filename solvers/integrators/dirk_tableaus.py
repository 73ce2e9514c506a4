"""Coefficients of diagonally implicit Runge-Kutta methods, alone or with the explicit half of an additive pair.

Sources: TR-BDF2 with its embedded third-order weights: Hosea and Shampine, "Analysis and implementation of TR-BDF2", Appl. Numer. Math. 20
(1996), table 1. SDIRK2: Alexander, "Diagonally implicit Runge-Kutta methods for stiff ODE's", SIAM J. Numer. Anal. 14 (1977), theorem 5.
SDIRK4: Hairer and Wanner, "Solving Ordinary Differential Equations II", 2nd edition, table IV.6.5. The additive pairs: Kennedy and
Carpenter, "Additive Runge-Kutta schemes for convection-diffusion-reaction equations", Appl. Numer. Math. 44 (2003), appendix C. The tests
check every set against the conditions of all rooted trees, bicoloured ones for pairs, which a mistyped digit fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ImplicitTableau:
    """Stages ``Y_i = y + h sum_j A_ij f_I(t + c_j h, Y_j) + h sum_j explicit_ij f_E(t + c_j h, Y_j)`` with A lower triangular.

    Attributes
    ----------
    A : s rows of the implicit half; a zero diagonal entry makes a stage explicit.
    b, b_embedded : weights of the step and of the one it is compared with, the same for both halves.
    order, embedded_order : of the two.
    explicit : s rows of the strictly lower triangular explicit half; None where there is none.
    """

    A: Rows
    b: tuple[float, ...]
    b_embedded: tuple[float, ...]
    order: int
    embedded_order: int
    explicit: Rows | None = None

    @property
    def c(self) -> tuple[float, ...]:
        return tuple(math.fsum(row) for row in self.A)

    @property
    def stiffly_accurate(self) -> bool:
        """Whether the step is the last stage: it then inherits the damping of the implicit solve."""
        return self.A[-1] == self.b

    @property
    def first_stage_is_last(self) -> bool:
        """Whether the first stage is the step's own start, whose derivative the step before has already."""
        return self.A[0][0] == 0 and self.stiffly_accurate


def _square(*rows: tuple[float, ...]) -> Rows:
    return tuple((*row, *(0.0,) * (len(rows) - len(row))) for row in rows)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(Fraction(word)) for word in text.split())


def _pair(implicit: list[str], explicit: list[str], b_embedded: str, order: int) -> ImplicitTableau:
    """An additive pair whose weights are the last implicit row."""
    A = _square(*map(_numbers, implicit))
    return ImplicitTableau(A, A[-1], _numbers(b_embedded), order, order - 1, _square(*map(_numbers, explicit)))


# The derivative at the start serves the error estimate alone: the difference to the trapezoidal rule.
BACKWARD_EULER = ImplicitTableau(_square((0.0,), (0.0, 1.0)), (0.0, 1.0), (0.5, 0.5), 1, 2)

_GAMMA = 2 - math.sqrt(2)
_W = math.sqrt(2) / 4
TR_BDF2 = ImplicitTableau(
    _square((0.0,), (_GAMMA / 2, _GAMMA / 2), (_W, _W, _GAMMA / 2)),
    (_W, _W, _GAMMA / 2),
    ((1 - _W) / 3, (3 * _W + 1) / 3, _GAMMA / 6),
    2,
    3,
)

_ALPHA = 1 - 1 / math.sqrt(2)
SDIRK2 = ImplicitTableau(_square((_ALPHA,), (1 - _ALPHA, _ALPHA)), (1 - _ALPHA, _ALPHA), (1.0, 0.0), 2, 1)

_SDIRK4 = _square(
    *map(
        _numbers,
        ["1/4", "1/2 1/4", "17/50 -1/25 1/4", "371/1360 -137/2720 15/544 1/4", "25/24 -49/48 125/16 -85/12 1/4"],
    )
)
SDIRK4 = ImplicitTableau(_SDIRK4, _SDIRK4[-1], _numbers("59/48 -17/96 225/32 -85/12 0"), 4, 3)

ARK3 = _pair(
    [
        "0",
        "1767732205903/4055673282236 1767732205903/4055673282236",
        "2746238789719/10658868560708 -640167445237/6845629431997 1767732205903/4055673282236",
        "1471266399579/7840856788654 -4482444167858/7529755066697 11266239266428/11593286722821 1767732205903/4055673282236",
    ],
    [
        "0",
        "1767732205903/2027836641118",
        "5535828885825/10492691773637 788022342437/10882634858940",
        "6485989280629/16251701735622 -4246266847089/9704473918619 10755448449292/10357097424841",
    ],
    "2756255671327/12835298489170 -10771552573575/22201958757719 9247589265047/10645013368117 2193209047091/5459859503100",
    3,
)

ARK4 = _pair(
    [
        "0",
        "1/4 1/4",
        "8611/62500 -1743/31250 1/4",
        "5012029/34652500 -654441/2922500 174375/388108 1/4",
        "15267082809/155376265600 -71443401/120774400 730878875/902184768 2285395/8070912 1/4",
        "82889/524892 0 15625/83664 69875/102672 -2260/8211 1/4",
    ],
    [
        "0",
        "1/2",
        "13861/62500 6889/62500",
        "-116923316275/2393684061468 -2731218467317/15368042101831 9408046702089/11113171139209",
        "-451086348788/2902428689909 -2682348792572/7519795681897 12662868775082/11960479115383 3355817975965/11060851509271",
        "647845179188/3216320057751 73281519250/8382639484533 552539513391/3454668386233 3354512671639/8306763924573 4040/17871",
    ],
    "4586570599/29645900160 0 178811875/945068544 814220225/1159782912 -3700637/11593932 61727/225920",
    4,
)

ARK5 = _pair(
    [
        "0",
        "41/200 41/200",
        "41/400 -567603406766/11931857230679 41/200",
        "683785636431/9252920307686 0 -110385047103/1367015193373 41/200",
        "3016520224154/10081342136671 0 30586259806659/12414158314087 -22760509404356/11113319521817 41/200",
        "218866479029/1489978393911 0 638256894668/5436446318841 -1179710474555/5321154724896 -60928119172/8023461067671 41/200",
        "1020004230633/5715676835656 0 25762820946817/25263940353407 -2161375909145/9755907335909 -211217309593/5846859502534 "
        "-4269925059573/7827059040749 41/200",
        "-872700587467/9133579230613 0 0 22348218063261/9555858737531 -1143369518992/8141816002931 -39379526789629/19018526304540 "
        "32727382324388/42900044865799 41/200",
    ],
    [
        "0",
        "41/100",
        "367902744464/2072280473677 677623207551/8224143866563",
        "1268023523408/10340822734521 0 1029933939417/13636558850479",
        "14463281900351/6315353703477 0 66114435211212/5879490589093 -54053170152839/4284798021562",
        "14090043504691/34967701212078 0 15191511035443/11219624916014 -18461159152457/12425892160975 -281667163811/9011619295870",
        "19230459214898/13134317526959 0 21275331358303/2942455364971 -38145345988419/4862620318723 -1/8 -1/8",
        "-19977161125411/11928030595625 0 -40795976796054/6384907823539 177454434618887/12078138498510 782672205425/8267701900261 "
        "-69563011059811/9646580694205 7356628210526/4942186776405",
    ],
    "-975461918565/9796059967033 0 0 78070527104295/32432590147079 -548382580838/3424219808633 -33438840321285/15594753105479 "
    "3629800801594/4656183773603 4035322873751/18575991585200",
    5,
)
