"""The people of the demo world: those with a part, and the many others with names of the places they live in."""

from __future__ import annotations

import random
from dataclasses import dataclass
from uuid import UUID

from forecourt.demo.ids import Fate
from forecourt.modules.people.contract import Frequency, PlayedSport, PreferredTime

LONDON, KARACHI, LAHORE, ISLAMABAD, LISBON = "London", "Karachi", "Lahore", "Islamabad", "Lisboa"
MANY = {LONDON: 236, KARACHI: 150, LAHORE: 68, ISLAMABAD: 68, LISBON: 78}
"""How many people live where: 600."""
TIMEZONES = {
    LONDON: "Europe/London",
    KARACHI: "Asia/Karachi",
    LAHORE: "Asia/Karachi",
    ISLAMABAD: "Asia/Karachi",
    LISBON: "Europe/Lisbon",
}
MONEY = {LONDON: "GBP", KARACHI: "PKR", LAHORE: "PKR", ISLAMABAD: "PKR", LISBON: "EUR"}
SPORTS = {
    LONDON: ("fitness", "boxing", "yoga", "running"),
    KARACHI: ("padel", "tennis", "badminton", "cricket"),
    LAHORE: ("padel", "table_tennis", "cricket", "tennis"),
    ISLAMABAD: ("padel", "futsal", "tennis", "hiking"),
    LISBON: ("padel", "tennis", "swimming", "yoga"),
}
LANGUAGES = {LONDON: ["en"], KARACHI: ["ur", "en"], LAHORE: ["ur", "en"], ISLAMABAD: ["ur", "en"], LISBON: ["pt", "en"]}
LOCALES = {LONDON: "en", KARACHI: "ur", LAHORE: "ur", ISLAMABAD: "en", LISBON: "pt"}

_PAKISTANI_FIRST = (
    "Ayesha Hina Zainab Mahnoor Noor Sara Rida Mariam Fatima Amna Sana Iqra Hira Laiba Maham Anum Kiran Nimra Aleena Zara Bisma"
    " Mehwish Rabia Saba Sidra Areeba Omar Bilal Hamza Saad Fahad Imran Kamran Danish Usman Ali Ahmed Hassan Zain Taha Shahzaib"
    " Talha Faisal Junaid Asad Waleed Haris Rehan Shayan Arsalan Noman Salman Adnan Yasir Waqas Moiz Ibrahim Rayyan Daniyal"
).split()
_PAKISTANI_LAST = (
    "Tariq Rahman Baloch Mirza Haider Farooqi Baig Lodhi Elahi Siddiqui Qureshi Wahid Aslam Javed Khan Ahmed Malik Chaudhry"
    " Sheikh Butt Raza Abbasi Memon Soomro Khokhar Niazi Bhatti Dar Gilani Hashmi Jatoi Kazmi Laghari Mughal Naqvi Durrani"
    " Afridi Rizvi Zaidi Iqbal Anwar Nawaz"
).split()
_LONDON_FIRST = (
    "Tom Grace Kwame Priya Jonas Chloé Amara Oliver Freya Callum Zoë Femi Ngozi Aoife Rhys Imogen Dev Anjali Tomasz Kasia Malik"
    " Esther Joel Naomi Harriet Felix Ruby Theo Isla Marcus Leila Yusuf Hana Rory Beatrix Elliot Sunita Winston Adaeze Bronagh"
    " Gareth Niamh Owen Poppy Reuben Siobhan Temi Ursula Viktor Wen Xanthe Yemi Zadie Alasdair Bettina Cosmo"
).split()
_LONDON_LAST = (
    "Ashworth Boateng Nair Lindqvist Barbier Okafor Whitcombe Hartley Adeyemi Pemberton Kowalska Nowak Patel Fitzgerald Llewellyn"
    " Osei Mensah Sharma Baptiste Campbell Thornbury Achterberg Castellanos Dunmore Ekwueme Fairweather Greenhalgh Hollis Ivanova"
    " Jessop Kilbride Lovelace Marchetti Ndiaye Oduya Prendergast Quaye Rosenthal Sutcliffe Tan Underhill Vasquez Wren Yilmaz"
    " Zhang Clarke Mbeki Rao"
).split()
_LISBON_FIRST = (
    "Inês Duarte Beatriz Tiago Mariana Gonçalo Leonor Rui Catarina Vasco Margarida Nuno Joana Afonso Carolina Bernardo Matilde"
    " Henrique Sofia Martim Filipa Lourenço Teresa Simão Helena Dinis Rita Xavier Luísa Miguel Annika Jules Greta Matteo Camille"
    " Søren Elena Pieter"
).split()
_LISBON_LAST = (
    "Carvalho Teixeira Salgado Nogueira Pinheiro Vasconcelos Antunes Fonseca Brandão Moreira Tavares Cordeiro Figueiredo Lacerda"
    " Monteiro Quintela Ribeiro Saraiva Valente Xavier Almeida Barros Coelho Dias Esteves Faria Gouveia Henriques Keller Dubois"
    " Bianchi Jensen Meyer"
).split()
NAMES = {
    LONDON: (_LONDON_FIRST, _LONDON_LAST),
    KARACHI: (_PAKISTANI_FIRST, _PAKISTANI_LAST),
    LAHORE: (_PAKISTANI_FIRST, _PAKISTANI_LAST),
    ISLAMABAD: (_PAKISTANI_FIRST, _PAKISTANI_LAST),
    LISBON: (_LISBON_FIRST, _LISBON_LAST),
}
_BIOS = (
    "",
    "",
    "",
    "After work, most weeks.",
    "Left-handed. Sorry in advance.",
    "Always looking for a fourth.",
    "Mornings only.",
    "Coming back after a long break.",
    "Plays badly, laughs well.",
    "Likes an empty room.",
    "Weekends with the family.",
)

# Players with a part: name, e-mail, city.
PLAYERS = (
    ("Mahnoor Tariq", "mahnoor@example.org", KARACHI),
    ("Tom Ashworth", "tom@example.org", LONDON),
    ("Ayesha Rahman", "ayesha@example.org", KARACHI),
    ("Hina Baloch", "hina@example.org", KARACHI),
    ("Kwame Boateng", "kwame@example.org", LONDON),
    ("Zainab Haider", "zainab@example.org", KARACHI),
    ("Omar Farooqi", "omar@example.org", KARACHI),
    ("Bilal Qureshi", "bilal@example.org", KARACHI),
    ("Saad Mirza", "saad@example.org", KARACHI),
    ("Hamza Siddiqui", "hamza@example.org", KARACHI),
    ("Imran Baig", "imran@example.org", KARACHI),
    ("Noor Elahi", "noor@example.org", KARACHI),
    ("Fahad Lodhi", "fahad@example.org", KARACHI),
    ("Kamran Javed", "kamran@example.org", KARACHI),
    ("Nadia Jamil-Shah", "nadia@example.org", KARACHI),
    ("Sara Wahid", "sara@example.org", KARACHI),
    ("Priya Nair", "priya@example.org", KARACHI),
    ("Chloé Barbier", "chloe@example.org", KARACHI),
    ("Jonas Lindqvist", "jonas@example.org", KARACHI),
    ("Duarte Salgado", "duarte@example.org", LISBON),
)


@dataclass(frozen=True)
class Staffer:
    """Somebody who works somewhere. `role` is a built-in one or `own:` and the name of the organisation's own."""

    name: str
    email: str
    city: str
    roles: tuple[tuple[str, str], ...]
    """Pairs of an organisation's slug and the role there."""


OWN_ROLES = {"baradari": (("Groundskeeper", ("booking.block", "booking.read_any")),)}
STAFF = (
    Staffer("Sohail Karim", "sohail@baradari.example", KARACHI, (("baradari", "owner"),)),
    Staffer("Rida Aslam", "rida@baradari.example", KARACHI, (("baradari", "manager"),)),
    Staffer("Adeel Memon", "adeel@baradari.example", KARACHI, (("baradari", "agent"),)),
    Staffer("Maham Soomro", "maham@baradari.example", KARACHI, (("baradari", "agent"),)),
    Staffer("Danyal Rizvi", "danyal@baradari.example", KARACHI, (("baradari", "coach"),)),
    Staffer("Ghulam Rasool", "ghulam@baradari.example", KARACHI, (("baradari", "own:Groundskeeper"),)),
    Staffer("Yasmin Habib", "yasmin@baradari.example", KARACHI, (("baradari", "viewer"), ("gulberg-grass", "viewer"))),
    Staffer("Tahir Butt", "tahir@gulberggrass.example", LAHORE, (("gulberg-grass", "owner"),)),
    Staffer("Saira Chaudhry", "saira@gulberggrass.example", LAHORE, (("gulberg-grass", "agent"),)),
    Staffer("Nida Abbasi", "nida@margalla.example", ISLAMABAD, (("margalla-padel", "owner"),)),
    Staffer("Haris Durrani", "haris@margalla.example", ISLAMABAD, (("margalla-padel", "manager"),)),
    Staffer("Zoya Afridi", "zoya@margalla.example", ISLAMABAD, (("margalla-padel", "agent"),)),
    Staffer("Waleed Niazi", "waleed@margalla.example", ISLAMABAD, (("margalla-padel", "coach"),)),
    Staffer("Grace Okafor", "grace@counterweight.example", LONDON, (("counterweight", "owner"),)),
    Staffer("Callum Hartley", "callum@counterweight.example", LONDON, (("counterweight", "manager"),)),
    Staffer("Femi Adeyemi", "femi@counterweight.example", LONDON, (("counterweight", "agent"),)),
    Staffer("Kasia Nowak", "kasia@counterweight.example", LONDON, (("counterweight", "coach"), ("the-bread-room", "coach"))),
    Staffer("Aoife Fitzgerald", "aoife@counterweight.example", LONDON, (("counterweight", "viewer"),)),
    Staffer("Esther Whitcombe", "esther@breadroom.example", LONDON, (("the-bread-room", "owner"),)),
    Staffer("Rory Llewellyn", "rory@breadroom.example", LONDON, (("the-bread-room", "agent"),)),
    Staffer("Imogen Pemberton", "imogen@sailloft.example", LONDON, (("sail-loft", "owner"),)),
    Staffer("Dev Sharma", "dev@sailloft.example", LONDON, (("sail-loft", "manager"),)),
    Staffer("Leonor Vasconcelos", "leonor@casalioz.example", LISBON, (("casa-lioz", "owner"),)),
    Staffer("Rui Tavares", "rui@casalioz.example", LISBON, (("casa-lioz", "manager"),)),
    Staffer("Inês Carvalho", "ines@casalioz.example", LISBON, (("casa-lioz", "agent"),)),
    Staffer("Vasco Monteiro", "vasco@casalioz.example", LISBON, (("casa-lioz", "agent"),)),
)
ADMIN = ("Alex Forecourt", "admin@forecourt.example")


@dataclass(frozen=True)
class Person:
    id: UUID
    name: str
    email: str
    city: str
    handle: str
    bio: str
    sports: list[PlayedSport]
    times: list[PreferredTime]
    staff: Staffer | None = None
    admin: bool = False
    unconfirmed: bool = False


def everybody(fate: Fate) -> list[Person]:
    """The administrator, the staff, the players with a part, then the many; 600 players in all."""
    taken: set[str] = set()
    dice = fate.dice("crowd")
    alex = Person(fate.id("person", ADMIN[1]), *ADMIN, LONDON, _handle(ADMIN[0], taken), "", [], [], admin=True)
    people = [alex]
    people += [_person(fate, dice, taken, s.name, s.email, s.city, staff=s) for s in STAFF]
    people += [_person(fate, dice, taken, *player) for player in PLAYERS]
    for city, many in MANY.items():
        known = {p.name for p in people if p.city == city}
        wanted = many - sum(player[2] == city for player in PLAYERS)
        first, last = NAMES[city]
        while wanted:
            name = f"{dice.choice(first)} {dice.choice(last)}"
            if name in known:
                continue
            known.add(name)
            wanted -= 1
            people.append(_person(fate, dice, taken, name, "", city, unconfirmed=dice.random() < 0.03))
    return people


def _person(
    fate: Fate,
    dice: random.Random,
    taken: set[str],
    name: str,
    email: str,
    city: str,
    *,
    staff: Staffer | None = None,
    unconfirmed: bool = False,
) -> Person:
    handle = _handle(name, taken)
    email = email or f"{handle.replace('_', '.')}@example.org"
    sports = [
        PlayedSport(sport, min(70, max(5, round(dice.gauss(32, 11)))), dice.choice(list(Frequency)))
        for sport in SPORTS[city][: dice.choice((1, 1, 1, 2))]
    ]
    times = [
        PreferredTime(day, *dice.choice((("07:00", "09:00"), ("17:00", "20:00"), ("19:00", "22:00"))))
        for day in sorted(dice.sample(range(7), dice.choice((0, 1, 2, 2, 3))))
    ]
    return Person(
        fate.id("person", email), name, email, city, handle, dice.choice(_BIOS), sports, times, staff, unconfirmed=unconfirmed
    )


def _handle(name: str, taken: set[str]) -> str:
    """Letters, digits and underscores, at most 30; a number behind it when it is taken."""
    base = plain(name)[:26].strip("_")
    handle, n = base, 2
    while handle in taken:
        handle, n = f"{base}{n}", n + 1
    taken.add(handle)
    return handle


def plain(name: str) -> str:
    """`Chloé Barbier` → `chloe_barbier`."""
    import unicodedata

    letters = unicodedata.normalize("NFKD", name.lower().replace("ø", "o")).encode("ascii", "ignore").decode()
    return "_".join("".join(c if c.isalnum() else " " for c in letters).split())
