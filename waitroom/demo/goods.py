"""What the example shop sells, and what is in a basket."""

from collections.abc import Mapping
from dataclasses import dataclass

MOST_OF_ONE = 9


@dataclass(frozen=True, slots=True)
class Product:
    slug: str
    name: str
    line: str
    story: str
    price: int
    """Whole euros."""
    tint: tuple[str, str]
    """The two colours of its picture."""


PRODUCTS = (
    Product(
        "one",
        "Tindra One",
        "The phone. First edition.",
        "A calm telephone: a screen that is kind at night, a battery for two days, and a back of pressed glass "
        "that nobody else has. Ten thousand are made, each numbered inside the frame.",
        749,
        ("#ff8a5c", "#7a5cff"),
    ),
    Product(
        "mini",
        "Tindra Mini",
        "Everything, in one hand.",
        "The same camera and the same two days, in the size that telephones used to have. It fits the small pocket.",
        599,
        ("#7ad7c4", "#2f6fed"),
    ),
    Product(
        "pods",
        "Tindra Pods",
        "Quiet, wherever you are.",
        "Six hours of quiet or of music, and a case that charges them four times over. They lie in the ear like "
        "a pebble in the hand.",
        149,
        ("#ffd36b", "#ff7a8a"),
    ),
    Product(
        "watch",
        "Tindra Watch",
        "Time, and little else.",
        "Two hands, a second face that shows steps and weather when you turn the wrist, and nineteen days "
        "until it wants a cable.",
        279,
        ("#b9c7ff", "#5b4bd6"),
    ),
    Product(
        "dock",
        "Tindra Dock",
        "Sets down, charges up.",
        "A disc of oiled ash with a ring of light that is green when all is full. "
        "Takes the phone, the pods and the watch.",
        69,
        ("#f2c9a1", "#d9734e"),
    ),
    Product(
        "sleeve",
        "Tindra Sleeve",
        "Wool felt, stitched once.",
        "One piece of felt from Bohuslän, one seam, no lining. It gets better with the years.",
        39,
        ("#cfe3b4", "#3f8f6b"),
    ),
)
BY_SLUG: Mapping[str, Product] = {product.slug: product for product in PRODUCTS}


@dataclass(frozen=True, slots=True)
class Basket:
    """Slug → how many. The cookie holds `one.2-pods.1`; whatever is not a product of ours is left out."""

    counts: tuple[tuple[str, int], ...] = ()

    @classmethod
    def read(cls, cookie: str | None) -> "Basket":
        counts = {}
        for part in (cookie or "").split("-")[: len(PRODUCTS)]:
            slug, _, number = part.partition(".")
            if slug in BY_SLUG and number.isascii() and number.isdecimal():
                counts[slug] = min(int(number[:2]), MOST_OF_ONE)
        return cls(tuple((slug, count) for slug, count in counts.items() if count))

    def write(self) -> str:
        return "-".join(f"{slug}.{count}" for slug, count in self.counts)

    def with_count(self, slug: str, count: int) -> "Basket":
        counts = dict(self.counts) | {slug: max(0, min(count, MOST_OF_ONE))}
        return Basket(tuple((name, number) for name, number in counts.items() if number))

    def count_of(self, slug: str) -> int:
        return dict(self.counts).get(slug, 0)

    @property
    def rows(self) -> list[tuple[Product, int]]:
        return [(BY_SLUG[slug], count) for slug, count in self.counts]

    @property
    def size(self) -> int:
        return sum(count for _, count in self.counts)

    @property
    def total(self) -> int:
        return sum(product.price * count for product, count in self.rows)
