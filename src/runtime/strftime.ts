/**
 * Dates as Python's `strftime` writes them in the C locale; chat templates ask for today's with it.
 *
 * @module
 */

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const day = 86_400_000;

/** Days since the year began; the first is 0. */
function yearDay(date: Date): number {
  const midnight = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((midnight - Date.UTC(date.getFullYear(), 0, 1)) / day);
}

/** The week of ISO 8601, whose year may be the one before or after. */
function isoWeek(date: Date): { year: number; week: number } {
  // The Thursday of a week says whose it is.
  const thursday = new Date(
    Date.UTC(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7)),
  );
  const year = thursday.getUTCFullYear();
  return { year, week: 1 + Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * day)) };
}

/** What each letter stands for; a number comes with how many digits it has, and what fills it up. */
const directives: Readonly<Record<string, (date: Date) => string | [number, number, string?]>> = {
  a: (d) => days[d.getDay()].slice(0, 3),
  A: (d) => days[d.getDay()],
  b: (d) => months[d.getMonth()].slice(0, 3),
  B: (d) => months[d.getMonth()],
  c: (d) => strftime("%a %b %e %H:%M:%S %Y", d),
  C: (d) => [Math.floor(d.getFullYear() / 100), 2],
  d: (d) => [d.getDate(), 2],
  D: (d) => strftime("%m/%d/%y", d),
  e: (d) => [d.getDate(), 2, " "],
  f: (d) => [d.getMilliseconds() * 1000, 6],
  F: (d) => strftime("%Y-%m-%d", d),
  G: (d) => [isoWeek(d).year, 4],
  h: (d) => months[d.getMonth()].slice(0, 3),
  H: (d) => [d.getHours(), 2],
  I: (d) => [d.getHours() % 12 || 12, 2],
  j: (d) => [yearDay(d) + 1, 3],
  k: (d) => [d.getHours(), 2, " "],
  l: (d) => [d.getHours() % 12 || 12, 2, " "],
  m: (d) => [d.getMonth() + 1, 2],
  M: (d) => [d.getMinutes(), 2],
  n: () => "\n",
  p: (d) => d.getHours() < 12 ? "AM" : "PM",
  r: (d) => strftime("%I:%M:%S %p", d),
  R: (d) => strftime("%H:%M", d),
  s: (d) => [Math.floor(d.getTime() / 1000), 1],
  S: (d) => [d.getSeconds(), 2],
  t: () => "\t",
  T: (d) => strftime("%H:%M:%S", d),
  u: (d) => [d.getDay() || 7, 1],
  U: (d) => [Math.floor((yearDay(d) + 7 - d.getDay()) / 7), 2],
  V: (d) => [isoWeek(d).week, 2],
  w: (d) => [d.getDay(), 1],
  W: (d) => [Math.floor((yearDay(d) + 7 - (d.getDay() + 6) % 7) / 7), 2],
  x: (d) => strftime("%m/%d/%y", d),
  X: (d) => strftime("%H:%M:%S", d),
  y: (d) => [d.getFullYear() % 100, 2],
  Y: (d) => [d.getFullYear(), 1],
  // A time without a zone has no name for it.
  z: () => "",
  Z: () => "",
  "%": () => "%",
};

/** The date in a format; `%-d` is without what fills a number up. What is no directive stays as it is. */
export function strftime(format: string, date: Date): string {
  return format.replaceAll(/%(-?)([A-Za-z%])/g, (whole, bare: string, letter: string) => {
    const found = Object.hasOwn(directives, letter) ? directives[letter](date) : whole;
    if (typeof found === "string") return found;
    const [value, width, fill = "0"] = found;
    return bare ? String(value) : String(value).padStart(width, fill);
  });
}
