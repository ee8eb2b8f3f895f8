"""Numbers under `math`: spellings, units, words that change the value, what is not evaluated, exactness."""

import pytest

from grading_cases import Case, check, grouped

SPELLINGS = [
    Case(
        "1/4",
        "¼|\\tfrac14|1⁄4|0.25|25%|**1/4**|`1/4`|$\\frac{1}{4}$|\\boxed{1/4}|one quarter|\\frac 1 4|2/8|０．２５|٠٫٢٥",
        "1/4?|4/1|¾|14|1 4",
    ),
    Case(
        "7/2", "3½|3 1/2|3\\frac12|3\\tfrac{1}{2}|3.5|three and a half|3 and a half", "31/2|3 \\cdot 1/2|3 1|35|3 7/2"
    ),
    Case("31/2", ["15.5", "15 1/2"], ["3 1/2", "3\\frac12"]),
    Case(
        "47",
        "४७|٤٧|４７|𝟒𝟕|47。|47।|47؛|\u200b47|4\u200b7|47\u00a0|__47__|\\mathbf{47}|{47}|(47)|+47|047|"
        "47.00|\\[47\\]|€47|47 €|₹47|"
        "Forty seven|\\underline{47}|```47```|= 47|N=47|47 = x|a_{10}=47|f(3)=47|AB = 47|\\fbox{47}|47,|"
        "\\displaystyle 47",
        "4 7|470|4.7|47.0001|-47|47-|4\u00a07|4\u20097|~47|47..",
    ),
    Case("-7", "−7|–7|minus 7|negative seven|x=-7|-7.0|\\text{-7}", "7|--7|not -7|minus 7 times 1|7 negative"),
    Case(
        "2500",
        "2{,}500|2,500|2\\,500|2\u202f500|2.5e3|2.5E3|2.5 × 10³|25 hundred|\\frac{5000}{2}|2.5\\cdot 10^{3}",
        "2 500|2.5|2.5e4|25,00|2,50,0",
    ),
    Case("100000", ["1,00,000", "1 lakh", "1e5", "100 thousand"], ["1,00,00", "1", "1 crore"]),
    Case("1234.5", ["1,234.5", "1.234,50"], ["1.2345", "1,2345"]),
    Case("0", ["0.0", "zero", "-0", "x=0", "0 cm"], ["", "nothing", "False", "\\emptyset", "1e-300", "1-1"]),
    Case("2/3", ["0.\\overline{6}", "0.(6)", "0.666667", "0.6666666"], ["0.67", "0.666...", "0.666668", "0.6"]),
]
BEHIND = [
    Case(
        "6",
        "6 cm|6 square miles|6 km/h|6 \\text{ kg}|6^\\circ|6 degrees Celsius|6 dollars|6 hours|"
        "6\\,\\mathrm{m}|6 ft²|6 units",
        "6 is wrong|6 is not it|6 unless 7|6 apples|6x|6i|6 e|6\\pi|6 xy|6\\mathrm{z}|6 cos x|6 of them|"
        "6 at|6 as|6 maybe|6 or so|6 ab|6m2",
    ),
    Case(
        "6",
        [],
        "6 thousand|6 hundred|6 dozen|6 lakh|6k|6 million|6 bn|6 tenths|6 thirds|6 percent|6%|6 and a "
        "half|6万|6 тысяч|6 gross|6 score|"
        "6 squared|6 mod 5|6 choose 2|6 factorial|6 times x|6 per cent of 100|6 halves|6 millionths",
    ),
    Case("6000", ["6 thousand", "6k", "6 thousand dollars", "six thousand"], ["6", "6 million", "6 hundred"]),
    Case("0.6", ["6 tenths", "60%", "60 percent", "3/5", "60 hundredths"], ["6", "6%", "0.6%", "60"]),
    Case("36", ["3 dozen", "three dozen"], ["3"]),
    Case("6 \\text{ cm}", "6|6cm|6 centimeters|60 mm|0.06 m|6~\\mathrm{cm}", "6 m|6 mm|6 kg|6 cm^2|6 inches|600 cm|60"),
    Case("36\\text{ ft}^2", ["36", "36 square feet", "36 ft²"], ["36 ft", "36 ft^3", "36 m^2", "6 ft"]),
    Case("72^{\\circ}", ["72", "72°", "72 degrees"], ["72 cm", "27", "72%"]),
    Case("15\\%", "15|15 percent|0.15|\\frac{3}{20}|15 Prozent", "0.15%|1500|1500%|1.5|15 cm"),
    Case("15", ["15%", "15 percent"], ["0.15"], text="What percent of the students passed?"),
    Case(
        "15",
        ["15 apples", "15 red apples"],
        ["15 pears", "15 thousand apples", "15 not apples"],
        text="How many red apples are there?",
    ),
    Case("3", ["3 dozen"], ["3 gross"], text="How many dozen eggs did she buy?"),
    Case("5", ["5 cm", "5 centimetres"], ["5 m", "5 km"], text="How many centimeters long is it?"),
    Case("5 \\text{ apples}", ["5", "5 apples"], ["5 pears", "5 cm"]),
]
NOT_AN_ANSWER = [
    Case(
        "391",
        ["391/1", "782/2"],
        "17 \\cdot 23|17*23|17×23|17(23)|(17)(23)|20^2-3^2|400-9|x=17\\cdot 23|\\frac{17\\cdot 23}{1}|17 "
        "times 23|"
        "391!/390!|\\sqrt{17\\cdot 23\\cdot 391}|391^1|\\gcd(391,782)|\\max(391,3)",
    ),
    Case("1/3", [], "\\int_0^1 x^2 dx|∫_0^1 x² dx|\\frac12-\\frac16|1-2/3|\\lim_{n\\to\\infty}\\frac{n}{3n+1}"),
    Case("2500", [], "\\sum_{k=1}^{50}(2k-1)|∑_{k=1}^{50}(2k-1)|50^2|50²|50**2|\\prod_{k=1}^2 50|\\frac{d}{dx}(2500x)"),
    Case("720", [], ["6!", "\\binom{720}{1}", "6\\cdot 5!"]),
    Case("4", ["\\log_3 81", "\\sqrt{16}", "|-4|"], ["2\\sqrt{4}", "\\sqrt{8+8}", "\\log_3 9 + 2"]),
    Case("12", [], ["\\sqrt{144}", "√144"], text="What is \\sqrt{144}?"),
    Case(
        "6",
        [],
        "≠ 6|\\neq 6|not 6|>6|≥6|≈6|\\approx 6|x \\ge 6|x\\neq6|6 < x|6 or 7|6, 7|7, 6|6;7|[6,7]|{6,7}|"
        "\\{5,6,7\\}|6±1|6 \\pm 0|"
        "0=6|5=6|6=6|5+1=6|1=2|maybe 6|about 6|at least 6|6 or more|either 5 or 6|\\boxed{6}\\boxed{7}|"
        "not \\boxed{6}|6/7|5-6|True|nan|x",
    ),
]
EXACT = [
    Case("1.6\\times10^{-19}", "1.6e-19|1.60e-19|16 \\times 10^{-20}", "9.1e-31|0|1.6e-18|1.6|1.7e-19|10^{-19}"),
    Case("\\frac{1}{100!}", ["1/100!"], ["\\frac{1}{101!}", "0", "\\frac{1}{99!}"]),
    Case("\\frac{1}{5^{40}}", ["5^{-40}"], ["\\frac{1}{5^{41}}", "0"]),
    Case("1000000", ["10^6", "1e6"], ["1000001", "999999", "1000000.5"]),
    Case("\\frac{3^{900}+1}{3^{901}}", ["\\frac{1}{3}+3^{-901}"], ["\\frac{1}{3}", "1/3"]),
    Case("221_6", ["221_{6}", "221_{\\text{six}}", "221"], ["221_7", "85", "122_6"]),
    Case("85", [], ["221_6"]),
    Case("0.125", ["1/8", "12.5%", "0.1250"], ["0.12", "0.13", "0.126"]),
    Case("\\pi", ["3.14159265", "3.141593", "π", "pi"], ["3.14", "22/7", "3.1416", "3.15"]),
    Case("9:45", ["9:45."], ["9:46", "9.45", "9"]),
    Case("5:3", ["5 : 3", "5∶3"], ["3:5", "5/3"]),
    Case("1,3,5,\\ldots,99", ["1, 3, 5, …, 99", "1,3,5,...,99"], ["1,3,5,...,97", "1,2,3,\\ldots,99", "1,3,5"]),
]


CASES = grouped(
    spellings_of_a_number=SPELLINGS,
    text_after_a_number=BEHIND,
    no_answer_to_a_bare_number=NOT_AN_ANSWER,
    exactness=EXACT,
)


@pytest.mark.parametrize("case", CASES)
def test_right_answers_count_and_wrong_ones_do_not(case):
    check(case)
