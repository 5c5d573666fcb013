"""Owns how runs become the table of docs/performance.md. Knows nothing of how they were made.

A cell is one server, one number of members, one window: some pairs of runs, the floor's and the server's, one
straight after the other. Absolute figures are medians of the server's runs; ratios are medians over the pairs, so
that a machine that is slower in one minute than in the next does not show in them. A pair in which either lost
something is in no ratio: who loses deliveries has not done the same work.
"""

from statistics import median

BEGIN = "<!-- peers:begin -->"
END = "<!-- peers:end -->"

# What a column is called by the generator.
COST = "cpu_us_per_delivery"
RATE = "deliveries_per_s"
MEMORY = "memory_bytes_per_member"
LOGIN = "cpu_us_per_login"
PEAK = "memory_peak_bytes"
BEFORE = "memory_before_bytes"


def is_good(run):
    """Whether it was measured at all."""
    return "error" not in run


def is_whole(run):
    """Whether nothing was lost, doubled, out of order, and nobody cut."""
    return not any(run[what] for what in ("lost", "doubled", "disordered", "members_cut"))


def median_of(figure, runs):
    """The median of a figure of all runs that have it, or None."""
    figures = [run[figure] for run in runs if run.get(figure) is not None]
    return median(figures) if figures else None


def three_digits(number):
    """A number as exactly as anybody should believe it."""
    whole_digits = len(f"{abs(number):.0f}")
    decimals = max(0, 3 - whole_digits)
    if number < 0.1:
        decimals = 3
    return f"{number:,.{decimals}f}"


def rate(number):
    """So many a second."""
    for limit, unit in ((1e6, " M"), (1e3, " k")):
        if number >= limit:
            return three_digits(number / limit) + unit
    return three_digits(number)


def whole(number):
    return f"{number:,.0f}"


class Table:
    """The results of one `run`, as Markdown."""

    def __init__(self, results):
        self.results = results
        self.cells = {}
        for cell in results["cells"]:
            key = (cell["server"], cell["members"], cell["window"])
            self.cells[key] = cell
        self.members = sorted({cell["members"] for cell in results["cells"]})
        self.windows = sorted({cell["window"] for cell in results["cells"]})
        self.servers = list(dict.fromkeys(cell["server"] for cell in results["cells"]))
        self.floors = sorted({cell["floor"] for cell in results["cells"]})

    def runs(self, name, members, window):
        """All good runs of a server, or of a floor beside whichever server."""
        if name in self.floors:
            cells = [c for c in self.cells.values() if c["floor"] == name]
            cells = [c for c in cells if (c["members"], c["window"]) == (members, window)]
            return [p["floor"] for c in cells for p in c["pairs"] if is_good(p["floor"])]
        pairs = self.cells.get((name, members, window), {}).get("pairs", [])
        return [p["server"] for p in pairs if is_good(p["server"])]

    def figure(self, window):
        """What a window's columns show: what one message costs, or how fast a burst goes."""
        return (COST, three_digits) if window == 1 else (RATE, rate)

    def cell(self, name, members, window):
        figure, shown = self.figure(window)
        runs = self.runs(name, members, window)
        value = median_of(figure, runs)
        if value is None:
            return "–"
        marks = "†" if not all(is_whole(run) for run in runs) else ""
        marks += "‡" if any(run["generator_was_bottleneck"] for run in runs) else ""
        marks += "¹" if name not in self.floors and len(runs) < self.results["repeat"] else ""
        return shown(value) + marks

    def paired(self, name, members, window):
        figure, _ = self.figure(window)
        ratios, marks = [], ""
        for pair in self.cells.get((name, members, window), {}).get("pairs", []):
            if not (is_good(pair["server"]) and is_good(pair["floor"])):
                continue
            if not (is_whole(pair["server"]) and is_whole(pair["floor"])):
                marks = "†"
                continue
            server, floor = pair["server"].get(figure), pair["floor"].get(figure)
            if server is not None and floor:
                ratios.append(server / floor)
        return (three_digits(median(ratios)) if ratios else "–") + marks

    def over_windows(self, figure, name, members):
        """A figure that no window bears on, from the runs of all of them."""
        runs = [run for window in self.windows for run in self.runs(name, members, window)]
        return median_of(figure, runs)

    def peak(self, name, members):
        """What the server took at its most in the largest bursts, beside what it took before anybody came."""
        runs = self.runs(name, members, self.windows[-1])
        grown = [run[PEAK] - run[BEFORE] for run in runs if None not in (run.get(PEAK), run.get(BEFORE))]
        return three_digits(median(grown) / 1e6) if grown else "–"

    def field(self):
        """Absolute figures: floors first, then servers."""
        head = ["server"]
        for window in self.windows:
            unit = "µs" if window == 1 else "per s"
            head += [f"W={window}, N={n}: {unit}" for n in self.members]
        most, least = self.members[-1], self.members[0]
        logins = sorted({least, most})
        head += [f"bytes per idle member, N={most}", f"peak above start, W={self.windows[-1]}, N={most}: MB"]
        head += [f"µs per login, N={n}" for n in logins]
        rows = []
        for name in self.floors + self.servers:
            row = [self.named(name)]
            row += [self.cell(name, n, w) for w in self.windows for n in self.members]
            memory = self.over_windows(MEMORY, name, most)
            row.append("–" if memory is None else whole(memory))
            row.append(self.peak(name, most))
            for n in logins:
                login = self.over_windows(LOGIN, name, n)
                row.append("–" if login is None else three_digits(login))
            rows.append(row)
        return markdown(head, rows)

    def ratios(self):
        """The medians of the paired ratios."""
        head = ["server"]
        for window in self.windows:
            unit = "CPU" if window == 1 else "deliveries/s"
            head += [f"W={window}, N={n}: {unit}" for n in self.members]
        rows = []
        for name in self.servers:
            row = [name]
            row += [self.paired(name, n, w) for w in self.windows for n in self.members]
            rows.append(row)
        return markdown(head, rows)

    def beside(self):
        """Which floor was beside which servers, in which windows."""
        said = []
        for floor in self.floors:
            cells = [cell for cell in self.cells.values() if cell["floor"] == floor]
            windows = sorted({cell["window"] for cell in cells})
            servers = list(dict.fromkeys(cell["server"] for cell in cells))
            windows = ", ".join(f"W={window}" for window in windows)
            said.append(f"`{floor}` for {', '.join(servers)} ({windows})")
        return "; ".join(said)

    def named(self, name):
        version = self.results["versions"].get(name)
        return f"{name} {version}" if version else name

    def markdown(self):
        results = self.results
        machine = results["machine"]
        notes = [
            f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, {results['date']}; "
            f"loopback{' in a network namespace of its own' if results['namespace'] else ''}, congestion control "
            f"{results['congestion_control']}; {results['payload']} bytes of text; pairs of runs a cell: "
            f"{results['repeat']}, each {results['seconds']:g} s.",
            f"The floors: {self.beside()}.",
        ]
        body = f"{self.field()}\n{self.ratios()}"
        if "†" in body:
            notes.append("† something was lost, doubled, out of order, or somebody was cut; such a pair is in no ratio.")
        if "‡" in body:
            notes.append("‡ the generator may have been the bottleneck.")
        if "¹" in body:
            notes.append("¹ fewer pairs: coming in took too long, or a run failed.")
        return "\n".join(
            [
                "W messages in flight, N members: the server's CPU time per delivery (W=1), or deliveries per second.\n",
                self.field(),
                "Against the floor, medians of the paired ratios: CPU per delivery (W=1: lower is better), deliveries per "
                "second (higher is better).\n",
                self.ratios(),
                *(f"{note}\n" for note in notes),
            ]
        )


def markdown(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def put_between(text, table):
    """A document with the table between its markers. Raises ValueError where they are not there."""
    begin, end = text.find(BEGIN), text.find(END)
    if not 0 <= begin < end:
        raise ValueError(f"no {BEGIN} with {END} behind it")
    return f"{text[:begin]}{BEGIN}\n\n{table}\n{text[end:]}"
