import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where the embedded server and worker keep their state: `HOLDFAST_STATE_DIR`, else the user's state folder. */
export function stateDirectory(): string {
  return (
    process.env.HOLDFAST_STATE_DIR ??
    join(process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state'), 'holdfast')
  );
}
