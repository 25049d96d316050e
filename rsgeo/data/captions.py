"""Captions in many wordings for land-cover classes.

No caption holds a content word of ``training/prompts_unseen.csv``: those prompts measure how far the text encoder reaches beyond its captions.
"""

from __future__ import annotations

import numpy as np

EUROSAT: dict[str, tuple[str, ...]] = {
    "AnnualCrop": (
        "arable land",
        "crop fields",
        "wheat fields",
        "farmland",
        "cultivated fields",
        "ploughed fields",
        "cereal fields",
        "maize fields",
        "agricultural fields",
        "cropland",
        "fields with crops",
        "annual crops",
        "bare fields",
        "farm fields",
    ),
    "Forest": (
        "dense forest",
        "trees",
        "coniferous forest",
        "woodland",
        "deciduous forest",
        "tree cover",
        "a wooded area",
        "forests",
        "a forest of tall trees",
        "dark green forest",
        "mixed forest",
    ),
    "HerbaceousVegetation": (
        "grass and shrubs",
        "scrubland",
        "heath",
        "natural grassland",
        "shrubs",
        "sparse vegetation",
        "moorland",
        "dry grassland",
        "low vegetation",
        "shrubland",
        "rough open land",
        "herbaceous plants",
        "scrub on a slope",
    ),
    "Highway": (
        "motorway",
        "main road",
        "freeway",
        "a road through fields",
        "a wide road",
        "roads",
        "a road with cars",
        "a dual carriageway",
        "a highway through the country",
        "a large road",
        "a highway crossing farmland",
    ),
    "Industrial": (
        "factories",
        "warehouses",
        "an industrial estate",
        "large halls",
        "a commercial area",
        "a business park",
        "an industrial plant",
        "factory buildings",
        "an industrial zone",
        "big flat roofs",
        "industry",
    ),
    "Pasture": (
        "grazing land",
        "meadows",
        "green pastures",
        "fields of grass for cattle",
        "green meadow",
        "pastureland",
        "grassy fields with hedges",
        "grass fields",
        "cattle pasture",
        "farm meadows",
        "green grass",
    ),
    "PermanentCrop": (
        "orchards",
        "vineyards",
        "olive groves",
        "fruit trees",
        "fruit plantations",
        "rows of vines",
        "an orchard",
        "a vineyard",
        "permanent crops",
        "plantations",
        "olive trees in rows",
    ),
    "Residential": (
        "houses",
        "a town",
        "a housing estate",
        "a suburb",
        "a residential area",
        "a village",
        "homes with gardens",
        "an urban area",
        "rows of houses",
        "family homes",
        "residential district",
        "a built-up area",
    ),
    "River": (
        "a stream",
        "a river bend",
        "a watercourse",
        "a waterway",
        "a river through fields",
        "a wide river",
        "rivers",
        "a winding river",
        "a river with trees along it",
        "a river valley",
        "river water between banks",
    ),
    "SeaLake": (
        "open water",
        "a lake",
        "the sea",
        "the ocean",
        "a water surface",
        "a body of water",
        "calm water",
        "deep water",
        "sea water",
        "lake water",
        "blue water",
        "dark water",
    ),
}

UCMERCED: dict[str, tuple[str, ...]] = {
    "agricultural": ("crop fields", "farmland", "rows of crops"),
    "airplane": ("a plane at an airport", "parked planes", "aircraft"),
    "baseballdiamond": ("a baseball field", "a sports field"),
    "beach": ("a sandy beach", "sand and waves", "the shore of the sea"),
    "buildings": ("large buildings", "office buildings", "a city centre"),
    "chaparral": ("shrubs on dry ground", "scrubland", "scattered shrubs"),
    "denseresidential": ("densely built houses", "rows of houses", "a crowded residential area"),
    "forest": ("trees", "woodland", "tree crowns"),
    "freeway": ("a motorway", "a highway with cars", "a wide road with lanes"),
    "golfcourse": ("a golf course with sand bunkers", "a golf green"),
    "harbor": ("boats in a harbour", "ships at a pier", "a marina"),
    "intersection": ("a crossroads", "a road junction", "a street crossing"),
    "mediumresidential": ("houses with gardens", "a suburb", "detached houses"),
    "mobilehomepark": ("mobile homes", "a trailer park"),
    "overpass": ("a bridge over a road", "a flyover", "crossing motorways"),
    "parkinglot": ("parked cars", "a car park"),
    "river": ("a river with trees along it", "a stream", "a river bend"),
    "runway": ("an airport runway", "an airfield"),
    "sparseresidential": ("a single house among trees", "scattered houses"),
    "storagetanks": ("round tanks", "oil tanks"),
    "tenniscourt": ("a tennis court beside houses", "tennis courts"),
}

TEMPLATES = (
    "{}",
    "a satellite image of {}",
    "an aerial view of {}",
    "a satellite photo of {}",
    "{} seen from above",
    "an overhead image of {}",
    "a picture of {} from space",
    "an aerial photo of {}",
    "satellite picture showing {}",
    "{} from the air",
)


def caption(label: str, caption_name: str, country: str, generator: np.random.Generator) -> str:
    """One caption of an image, drawn at random.

    Four in ten name the class by its ``caption_name``; every seventh that can names the country.
    """
    phrases = EUROSAT.get(label) or UCMERCED.get(label) or ()
    phrase = caption_name if not phrases or generator.random() < 0.4 else phrases[generator.integers(len(phrases))]
    text = TEMPLATES[generator.integers(len(TEMPLATES))].format(phrase)
    if country and generator.random() < 0.15:
        text = f"{text} in {country}"
    return text


def every_phrase() -> set[str]:
    """All phrases and templates that captions are made of (class names come from the data sets)."""
    return {phrase for table in (EUROSAT, UCMERCED) for phrases in table.values() for phrase in phrases} | set(TEMPLATES)
