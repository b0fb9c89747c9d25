/**
 * The person in a name that a client of Temporal gave itself: `alice` of `alice@laptop` (a command), `alice@example.com` (the UI with sign-in),
 * `alice@laptop (mcp)`, `temporal-cli:alice@laptop` or `alice by GitHub Actions (…)`. Undefined where it names none: nothing, or the process
 * (`4711@host`).
 */
export function personIn(identity: string | undefined): string | undefined {
  const head = identity?.trim().toLowerCase().split(/[@ ]/)[0]?.split(':').at(-1);
  return head === undefined || head === '' || /^\d+$/.test(head) ? undefined : head;
}
