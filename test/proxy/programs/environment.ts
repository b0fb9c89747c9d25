import type { FactId } from '../../facts/facts.ts';
import type { Call } from './stand-in.ts';

/** Where the programs go when nobody says where (`programs.defaults`). */
const DEFAULTS: { readonly fact: FactId; readonly port: string; readonly user: string } = {
  fact: 'programs.defaults',
  port: '5433',
  user: 'yugabyte',
};

/** The environment of the wrapped program, with `settings` for its sessions. */
export function environmentOf(
  { environment }: Call,
  settings: Readonly<Record<string, string>>,
): NodeJS.ProcessEnv {
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
  return {
    ...environment,
    PGPORT: environment.PGPORT ?? DEFAULTS.port,
    PGUSER: environment.PGUSER ?? DEFAULTS.user,
    ...(options.length === 0
      ? {}
      : { PGOPTIONS: [environment.PGOPTIONS ?? '', ...options].join(' ').trim() }),
  };
}
