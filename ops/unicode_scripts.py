"""Scripts of code points: the Script property of the Unicode Character Database as runs.

Each run is the distance from the run before as a little-endian base-128 number, and the
script's number in ICU's `UScriptCode`; deflated and in base 85.
"""

from __future__ import annotations

import base64
import functools
import zlib

import numpy as np

__all__ = ["script_of"]

_RUNS = (
    "c-nndTWl2989x7+nVs8uc4xh7d)CIgzJtN|!p+7IY|}uHks&zc5>SNHkgs)ULJEmOP!fwII94GEsYr;`"
    "aCNz)Rh^Uu%B2piTIHdt)Q2`|r7917tyJZqYWq^D-%J)%MO7cZIsdu*|M|~<9i@h&qDm3nk*Ew|MYT$z"
    "67dT|bwrl3EUof#ATX5#26QqC%s}EXS&Qcq<cW255M-U#M6`32YeqY?(MRx1^(r{k^)Rbb@U^8xr-*>y"
    "IZZjbOnBn!BDwdIZf*`B&1;~W4c*h$hhWDb^bX^trO+>BAdfUaKSJJSA1ic$GIErgA>RV;VKKdo(q7Rt"
    "A*KUuYNCd;O$ZFGYtyZ)n{c>hk`~kAJc7<r-)stImit-qWyweS9(0!XX06J;0fTcp%e#^>gqI<I#wFsB"
    "{2B6R$eW@3j8|EwEi-~lhPq_Zu;Vi&u9v89iE>NiE5&Q%E0M3{R@M#Jgn55G2d{;6OA1B{`CCkm@titx"
    "G!jt9mNd*3>;4(d{S*<j6kxShL0Y-qT1#YMv^tf!3A<G%v_)FCdYrojo-S~=z|#f3ra&zUZe@)e1x-jo"
    ">ttV}sz{z9_lwIaBduG^LKlmWCeE93Fq-N(QcjaVH`$!iD^00nE=>+nO&-?`q}x}6G1%UKwmRxo$K5)M"
    "sH@Pm(8)ZeQ>4jNXQJHk5Tv6OW=BUdN(W=8!&YX8Mq9%<Nw-7N0*lb;#Y)m<Zc_W3AU<E=(+|E>=tY&W"
    ">3{4|raw@j*ArzJei5nEcIXs!SvYAeSOB9us*JJ^yOT!gwBau<C=GW>9_cQwbkQ7L8tK}{pldy(V$^G;"
    ">zO3=G*5jz-vzsVF|36f;PsRsJ#=mY26s<-c_Z|43;y5|n1j52(1$UoYs;&cGOP5&I>^KV=m{UG3CfxX"
    "pe4k*2R6fepbN$`L+h5qS!ZtRhp{a~7~k%3T-fQww2bkL14j%cQbo{wA}U1~q7|(dwFj0XQEy;HCQ(It"
    "Lm;vmB33l1gBsQk+97DKj83I?+(U_LD>%}QL6Dr0pqgV`WB7EH<~2Jw`Vrj}e-%$gRWMW;S!qH>wX-G}"
    "k!DE~RZoP`BE@V`?^=kIkAga9FP+rt@AMFPM18Bj8xkWb+lOG;_J0S$nts@8G=eqa*TPLa{eR$;)i}CB"
    "Ms&Cf>F_f_QPC&L3h6l_3SBXCS~;PqSS<1k3O+~YY0a8Pm9AluS&JdL$Ea4;DyvqcYqB|dR}JM#>fxGh"
    "p4+LeNO*Ud8Vdh?k-lDZ!sTZb+*f+O@gt4Av-jvuII1~%f<{;Y9l7X?{MGcTqNgA2hx7CXB8`++-m+B5"
    "7I~@_{!@};RE~}DCK>Z!j_C&8Izq7{bixP|XvAzNzq}rGFIxv|;rVo31^0~-F=rw-kjP{#o2jh_S*8#2"
    "&fM${q;s_}bG>+VB>WpISU7?9$VS?*U{%vv)y&pvdcRs%;OXxm)PJRIkkv!bdL<U>I7+keD<p8VYN4*x"
    "gb7oVT~EdFKpCoBX=i?oM{{*4O#>P^DtjNSg^CIjo?_+dO+$LAMK8tm^7h^g*8(*69)XoaPHa3k*g_7*"
    "8KbmYb&24pJV~2<vlkggKigVkE8Iq-svg!Z=H-e;$O>7@a<eu-r@M7oPaku#kJ|r`YcXD52<Pl__-6%g"
    "$@mTC|9B0&aR;ZRn_71BE!|59R&UarA7Vc^<i1sYvjpc&7d;oK?*$F(g0;H=#%|ePgtcEVw7q<y4(5qG"
    "^ogYd46^~A8DO3bFoy=1_8iRt*6{(R^lRle$|xW1fO$9#_t}*&p0!_Oj=t!;Pz~z^=SU9r5fkYnHn#5E"
    "gjJiDp^C6Kr>;}|>mDv?%}BZ1NwA&W)foF3H*R!d`_CJYzsaN-9)mgDh|I7&KLY=GKIL=-`!p@_925Py"
    "9Gr6<aNpg_5}$|veh%{f5)9AML9;Z$EFUn-6rW|SIyngIB>ASfHq9nE%}|=AQKos8v`jM&M5f)!4)vL4"
    "iz6(a(1gJg-<1#cKt8b0c;+EEXZQlSv=aJKJDM*(2>)VSTdPq0-T>_PJghul4}CrZ^L!R}<tJ<K_}k-1"
    "zb*3=IM1id)2{QpdcH9k^*pUO?_tAjs&|_SaN9@yN4)35aV+@30H*X67O^W`L;&v!<L7D_`YPXWHNd7h"
    "zGIHU=9a*ilM3y^nWIkESO~9ieyy!CreI(5a9#g2!VP(azY#5csA`dYGd7;s_cUZ5%m2P#3GNg&&QZyY"
    "E<P=N|5Fn;*B`yf7JZ6dJH<>trLp%IBlB1a-Y9#?DBJZY^%&((!Dux;v_9UAeS1b>?x8{UgczEUcSPw="
    "1b)c6IP<S=I5U%}Pd+oyIpgA=57tQjj7D$XKv=^ct9OnYcr`cmB&;bW&lE#$iq&K)u77`SSN{;EU<VWT"
    "0d|y79HrS&8pTwDs0}t?Mig5j>%FTYOo{qBQ*a}plT_EqXvR$;u3Je$iyBU90&8q#-jK}sSDT#qGVy;O"
    "GtS1Jz5~ZCWDaoiKnB0_`nlU5LMJ1w+;8Cza*O$Yi^b;_&2>xT3w>ubtUH29@A$8&#qlf_U1sOJ%<an>"
    "CsXQc*sRv#m!f&Et|xT-gUc!w|LD@b$$IkBixgp2=r3V><@{H1Z!eZ%S7hCj7t0P|B{HmpUe5DxXvN<E"
    "^*Alb$`<#_1Z_0^j|Kgzn2#-5l^mjfNCzqv+y0L>J4xJHV;mwo|2b&ueA3g{N#a_pnC+@D@x_=rOtISt"
    "*5b6H#b|Vc71W~9V-MQNXz(f<i`4gGkF7!*r5tm@&ws1Y9DZD8Sbfgtg-5#(gdeTO*}CwIiNE;aZ`yJF"
    "Pi!%0RC_Tg@`d0(rq)LA"
)


@functools.cache
def _runs() -> tuple[np.ndarray, np.ndarray]:
    """First code points of the runs, and the runs' scripts."""
    raw = zlib.decompress(base64.b85decode(_RUNS))
    firsts, scripts, at, first = [], [], 0, 0
    while at < len(raw):
        shift = 0
        while raw[at] & 0x80:
            first += (raw[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
        first += raw[at] << shift
        firsts.append(first)
        scripts.append(raw[at + 1])
        at += 2
    return np.array(firsts, np.int64), np.array(scripts, np.int32)


def script_of(codes: np.ndarray) -> np.ndarray:
    """int32 scripts of code points; -1 for numbers that are none."""
    firsts, scripts = _runs()
    found = scripts[np.searchsorted(firsts, codes, side="right") - 1]
    return np.where((codes >= 0) & (codes <= 0x10FFFF), found, np.int32(-1))
