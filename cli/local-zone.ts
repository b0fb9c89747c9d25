/** The time zone of the person at the terminal (`TZ`, else the machine's), for the local time that is shown beside UTC. An IANA name. */
export function localZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}
