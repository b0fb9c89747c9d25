import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import { fetchPage } from './http.ts';

/** What a tablet server says of itself in `/varz?raw=1`. */
interface TserverFlags {
  /** Its data directories (`fs_data_dirs`), several where it has several disks. */
  readonly dataDirectories: readonly string[];
  readonly region?: string;
  /** All flags by name. */
  readonly flags: Readonly<Record<string, string>>;
}

/** The default port of a tablet server's web server. */
export const TSERVER_WEB_PORT = 9000;

/** Reads the flags of the tablet server whose web server is at `http://host:9000`. Throws as `fetchPage` and `parseTserverFlags`. */
export async function readTserverFlags(webAddress: string, signal: AbortSignal): Promise<TserverFlags> {
  return parseTserverFlags(await fetchPage(`${webAddress}/varz?raw=1`, signal));
}

/**
 * The UUID of the tablet server whose web server is at `http://host:9000`, from the footer of its pages (`RpcAndWebServerBase::FooterHtml`,
 * src/yb/server/server_base.cc). Undefined if the page has none. Throws as `fetchPage`.
 */
export async function readTserverUuid(webAddress: string, signal: AbortSignal): Promise<string | undefined> {
  const [, uuid] = /\bserver uuid ([0-9a-f]{32})\b/.exec(await fetchPage(`${webAddress}/`, signal)) ?? [];
  return uuid;
}

/** Parses lines `--flag=value`. Throws `TSERVER_NO_DATA_DIRECTORIES` (permanent). */
export function parseTserverFlags(text: string): TserverFlags {
  const flags = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [, name, value] = /^\s*--([A-Za-z0-9_]+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) flags.set(name, value.trim());
  }
  const dataDirectories = (flags.get('fs_data_dirs') ?? '')
    .split(',')
    .map((folder) => folder.trim())
    .filter((folder) => folder !== '');
  if (dataDirectories.length === 0) {
    throw permanent(
      'TSERVER_NO_DATA_DIRECTORIES',
      'The tablet server does not say where its data are (no fs_data_dirs in /varz?raw=1)',
      'Name them: holdfast worker --data-dirs DIR,DIR.',
    );
  }
  const region = flags.get('placement_region');
  return { dataDirectories, ...defined({ region }), flags: Object.fromEntries(flags) };
}
