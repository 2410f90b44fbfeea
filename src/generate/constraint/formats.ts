/**
 * Formats of texts as patterns: what is written is always of the format, though a format may know further texts.
 *
 * @module
 */

const hour = "([01]\\d|2[0-3])", sixty = "[0-5]\\d";
const time = `${hour}:${sixty}:${sixty}(\\.\\d{1,6})?`;
const leap = "([12]\\d(0[48]|[2468][048]|[13579][26])|1[26]00|2[048]00)";
const date = `([12]\\d{3}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|` +
  `02-(0[1-9]|1\\d|2[0-8]))|${leap}-02-29)`;
const label = "[a-z][a-z0-9]{0,20}(-[a-z0-9]{1,10}){0,2}";
const hostname = `(${label}\\.){0,4}${label}`;
const domain = `(${label}\\.){1,4}[a-z]{2,12}`;
const byte = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const group = "[0-9a-f]{1,4}";
const shortened = [1, 2, 3, 4, 5, 6].map((n) => `(${group}:){${n}}(:${group}){1,${7 - n}}`).join("|");
const seconds = "\\d{1,4}S", minutes = `\\d{1,4}M(${seconds})?`, hours = `\\d{1,4}H(${minutes})?`;
const clock = `T(${hours}|${minutes}|${seconds})`;
const days = "\\d{1,4}D", months = `\\d{1,4}M(${days})?`, years = `\\d{1,4}Y(${months})?`;

/** Patterns by the names that JSON Schema gives to formats. */
export const formats: Readonly<Record<string, string>> = {
  date,
  time: `${time}(Z|[+-]${hour}:${sixty})`,
  "date-time": `${date}T${time}Z`,
  duration: `P((${years}|${months}|${days})(${clock})?|${clock}|\\d{1,4}W)`,
  email: `[a-zA-Z0-9]{1,20}([._+-][a-zA-Z0-9]{1,20}){0,2}@${domain}`,
  hostname,
  ipv4: `${byte}(\\.${byte}){3}`,
  ipv6: `(${group}:){7}${group}|${shortened}|(${group}:){1,7}:|:(:${group}){1,7}|::`,
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
  uri: `https?://${hostname}(:[1-9]\\d{0,3})?(/[a-zA-Z0-9._~-]{0,40}){0,8}(\\?[a-zA-Z0-9._~=&-]{0,100})?`,
};
