/** IANA name of the time zone of the person at the terminal (`TZ`, else the machine's), whose local time is shown beside UTC. */
export function localZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}
