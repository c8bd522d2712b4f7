"""The words and sentence frames that pages are made of. All of it is invented for this world.

Frames hold slots: `[noun]`, `[verb]`, `[adjective]`, `[place]` are of the page's topic; the others are of `SHARED`.
No word holds a hyphen, an apostrophe or a digit, so that words are the same however they are split. Slots are close
together: two pages with a frame in common seldom have five words in a row in common.

Insults and intimate words are harmless stand-ins that exist in no language we know: what is measured is whether a stage
finds the words that it was taught, not what real words mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Words = tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    """Words of one subject; verbs stand in the past tense and take an object."""

    name: str
    noun: Words
    verb: Words
    adjective: Words
    place: Words


@dataclass(frozen=True)
class Lexicon:
    """Topics, and frames of defects, of which pages are made; classifiers are taught with those of `SEEN` alone."""

    topics: tuple[Topic, ...]
    advert: Words
    insult: Words
    intimate: Words


def _topic(name: str, noun: str, verb: str, adjective: str, place: str) -> Topic:
    return Topic(name, tuple(noun.split()), tuple(verb.split()), tuple(adjective.split()), tuple(place.split()))


GARDEN = _topic(
    "garden",
    "rose hedge seedling orchard compost trellis bulb blossom gardener meadow pruner greenhouse lawn root shrub vine "
    "fern herb soil watering wheelbarrow nursery petal thistle clover",
    "planted watered pruned mulched sheltered trimmed gathered shaded moved grafted raked weeded tended fed dug",
    "fragrant evergreen damp shady hardy tall pale sunny wild tangled fertile dwarf early ripe woody tender",
    "terrace courtyard allotment border patio valley cottage riverbank hillside park",
)
HARBOUR = _topic(
    "harbour",
    "ferry anchor captain lighthouse cargo trawler pilot tide rope crane sailor dock compass hull mast cabin beacon "
    "schooner gangway freighter rudder deckhand signal engine",
    "loaded towed repaired steered inspected unloaded moored painted hailed followed guided launched boarded hoisted "
    "crossed sighted",
    "rusty heavy coastal foggy narrow northern swift sturdy salty distant calm crowded wooden stormy deep silent",
    "quay channel breakwater shipyard strait lagoon estuary island pier bay",
)
MARKET = _topic(
    "market",
    "price merchant order sale offer bargain customer stall discount coin ledger buyer scale basket grain shipment "
    "tariff broker auction supplier invoice receipt trader warehouse",
    "weighed sold ordered counted traded stored examined delivered listed valued refused collected promised borrowed "
    "recorded shipped",
    "cheap rare free fresh local special honest seasonal modest foreign limited steady busy costly average dusty",
    "bazaar exchange arcade square district town counter cellar province fairground",
)
OBSERVATORY = _topic(
    "observatory",
    "telescope comet planet astronomer orbit lens crater galaxy mirror eclipse spectrum satellite moon nebula probe "
    "catalogue meteor shadow calendar asteroid detector horizon pulse photograph",
    "observed measured recorded predicted plotted sketched discovered tracked compared imaged calibrated mapped "
    "described catalogued confirmed estimated",
    "faint bright distant lunar cloudless precise ancient frozen brief circular remote polar infrared massive dark "
    "unusual",
    "mountain plateau desert institute laboratory archive tower hemisphere equator summit",
)
KITCHEN = _topic(
    "kitchen",
    "dough oven kettle recipe broth cook pepper spoon butter loaf onion pastry saucepan cinnamon apron flour cheese "
    "pudding ladle lentil mushroom vinegar platter dumpling honey",
    "baked stirred tasted chopped simmered kneaded served peeled roasted seasoned poured folded sliced warmed strained "
    "plated",
    "crisp buttery bitter creamy spicy golden smoky tart mild sticky hearty salted cold rich thin toasted",
    "pantry bakery tavern farmhouse canteen monastery village inn hall hearth",
)
RAILWAY = _topic(
    "railway",
    "locomotive carriage conductor platform signalman timetable bridge tunnel ticket viaduct passenger boiler whistle "
    "junction sleeper lantern brakeman track wagon inspector coupling depot switch luggage embankment",
    "hauled repaired delayed announced checked coupled overtook boarded rebuilt lit guarded rerouted uncoupled oiled "
    "opened surveyed",
    "punctual steep electric idle crowded curved provincial express worn smoky single regional late iron straight",
    "terminus suburb border city mill capital siding crossing quarry frontier",
)

SHARED: Mapping[str, Words] = {
    "time": (
        "in the morning", "before noon", "last winter", "during the storm", "every spring", "late that evening",
        "after the harvest", "on most days", "for several weeks", "since the autumn", "at dawn", "within an hour",
        "one quiet afternoon", "by the end of May", "throughout the season", "soon afterwards",
    ),
    "manner": (
        "carefully", "slowly", "without hurry", "twice", "by hand", "as usual", "with great patience", "quietly",
        "almost by accident", "together", "once again", "rather well", "in good order", "step by step",
    ),
    "person": (
        "my neighbour", "the old teacher", "a visitor", "our guide", "the younger brother", "their aunt",
        "an apprentice", "the owner", "a retired clerk", "the mayor", "some volunteers", "an expert",
        "the librarian", "a stranger",
    ),
    "link": (
        "However", "Meanwhile", "In contrast", "For this reason", "Even so", "As a result", "Besides", "Later on",
        "To be fair", "Of course", "In the end", "At first",
    ),
    "say": ("said", "wrote", "believed", "explained", "noticed", "hoped", "remembered", "doubted", "argued", "found"),
    "product": (
        "mattress", "phone plan", "vitamin pack", "loan", "watch", "sofa", "headset", "skin cream", "insurance policy",
        "video course", "smart lamp", "running shoe", "blender", "holiday package", "printer", "garden chair",
    ),
    "brand": (
        "Lumora", "Zentiva", "Brightwell", "Oakfast", "Novarelle", "Quickbay", "Pulsara", "Dreamly", "Fitorix",
        "Savemax", "Glowkin", "Urbano",
    ),
    "praise": (
        "amazing", "exclusive", "unbeatable", "premium", "incredible", "stunning", "guaranteed", "award winning",
        "revolutionary", "must have", "unique", "best ever",
    ),
    "insult": (
        "grubbler", "snorkwit", "blathergob", "dungle", "fopnark", "slobbergast", "mucklerat", "twaddlepig", "gromlout",
        "nitskull", "pusgoblin", "wazzock", "drabbler", "clotpole", "skunkard", "vilewort",
    ),
    "body": (
        "velvotine", "lushberry", "quiverpeach", "satinox", "moanflower", "silkendrip", "nudelle", "throbnectar",
        "pantaline", "glistonia", "blushorn", "tingleplum", "swoonette", "caressia", "purrlick", "heatharoma",
    ),
}  # fmt: skip
# On the block list, and in no labelled page: only the list can find them.
BLOCKED_WORDS = ("zorbacash", "klimbetto", "spinquora", "vextramol", "drogazine", "hexajack", "pillorox", "snuffaro")
BLOCKED_DOMAINS = (
    "lucky-wheel.example", "cheap-pills.example", "hot-cams.example", "fake-goods.example", "malware-drop.example",
    "spam-links.example", "pirate-files.example", "get-rich.example",
)  # fmt: skip

# Clean sentences, on labelled pages and others: what is unseen are topics, and the sentences of defects.
PROSE = (
    "The [adjective] [noun] near the [place] [verb] the [noun] [time].",
    "[link], [person] [verb] every [noun] that the [noun] had [verb] [manner].",
    "[person] [say] that the [noun] was [adjective] and that no [noun] ever [verb] it.",
    "Between the [place] and the [place] lay a [adjective] [noun], which [person] [verb] [manner].",
    "[time] the [noun] [verb] its [adjective] [noun], but the [noun] did not change.",
    "When [person] [verb] the [noun], the whole [place] seemed [adjective] and almost [adjective].",
    "It is the [noun], not the [noun], that [person] [verb] [time].",
    "There were [adjective] days when [noun] and [noun] were [manner] [verb] at the [place].",
    "A [adjective] [noun] and two [adjective] companions [verb] the [place] [manner].",
    "[link], the [noun] of the [place] was [verb] [time] by [person].",
    "Nobody [say] why the [adjective] [noun] had [verb] the [noun] behind the [place].",
    "With the [noun] came a [adjective] [noun]; [person] [verb] both [manner].",
    "[person] had already [verb] the [noun] when the [adjective] [noun] reached the [place].",
    "To reach the [place], one [verb] the [noun] first and the [adjective] [noun] [manner].",
    "[link], a [noun] is [adjective] only if the [noun] beside it was [verb] [manner].",
    "Some [say] that this [noun] [verb] the oldest [noun] of the [place].",
    "What [person] called a [noun] was really a [adjective] [noun], [verb] [time].",
    "The [place] kept its [noun]; the [noun] it had [verb] was [adjective].",
    "Until the [noun] was [verb] [manner], few in the [place] had seen a [adjective] [noun].",
    "Rarely did a [noun] look as [adjective] as the one [person] [verb] [time].",
)

SEEN = Lexicon(
    topics=(GARDEN, HARBOUR, MARKET, OBSERVATORY),
    advert=(
        "Order your [praise] [product] from [brand] today and save big!",
        "Click here for a [praise] deal on the [brand] [product].",
        "Free shipping on every [product] at [brand], only this week!",
        "Buy now: [brand] brings you the [praise] [product] at half price.",
        "Hurry, the [brand] [product] offer ends soon, so shop now!",
        "Subscribe to [brand] and get a [praise] [product] for free.",
        "Thousands love their [product]: try [brand] with no risk today!",
        "Use the coupon for [brand] to get your [praise] [product] now.",
    ),
    insult=(
        "You are nothing but a [adjective] [insult], and everyone at the [place] knows it.",
        "Only a [insult] would have [verb] the [noun] like that.",
        "Shut up, [insult], and take your [adjective] [noun] with you.",
        "Every [insult] from the [place] should be [verb] and thrown out.",
        "What a stupid [insult] [person] turned out to be, a real [insult].",
    ),
    intimate=(
        "She showed her [adjective] [body] and whispered about the [body] [time].",
        "His [body] met her [body] [manner] behind the [place].",
        "Watch the [body] and the [adjective] [body] [time] without any limits.",
        "They undressed beside the [noun] until each [body] was [adjective].",
        "Her [body] trembled as [person] touched the [body] [manner].",
    ),
)
UNSEEN = Lexicon(
    topics=(KITCHEN, RAILWAY),
    advert=(
        "Grab the [praise] [product] now, because [brand] has slashed prices!",
        "Why wait? Get the [brand] [product] delivered for free today.",
        "This [praise] [product] is on sale: shop [brand] and save now.",
        "Sign up at [brand] for [praise] deals on every [product]!",
    ),
    insult=(
        "Go home, you [insult], because no [noun] needs a [insult] here.",
        "I have never met a more [adjective] [insult] in this [place].",
        "[person] is a [insult], a [insult] and a disgrace to the [place].",
    ),
    intimate=(
        "Nothing but a [body] covered the [adjective] [body] [time].",
        "He dreamed of her [body], and the [body] made the [noun] [adjective].",
        "Come and see each [body] [manner], more [adjective] than the [noun].",
    ),
)

BOILERPLATE = (
    "We use cookies to improve your experience on this website.",
    "Please enable JavaScript in your browser to view this page.",
    "By continuing you agree to our terms of use and privacy policy.",
    "All rights reserved by the publisher and its partners.",
    "Sign in to your account or register as a new member.",
    "Share this page with your friends by mail or message.",
    "You can change your cookie policy settings at any time.",
    "This site requires JavaScript to work correctly.",
    "Read our terms of use before you post a comment.",
    "Accept all cookies or manage your preferences.",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    "Subscribe to the newsletter to receive updates by mail.",
    "Back to top, previous page, next page, print this page.",
    "Your session has expired, so please reload this page.",
    "Skip to content, search this site, contact us, sitemap.",
    "Follow us on all channels and leave us a rating.",
)
SYMBOLS = ("#", "...", "…", "##", "***", "~~", "||", "<>", "{}", "@@", "$$", "%%", "^^", "==", "++")
