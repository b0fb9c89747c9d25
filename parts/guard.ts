import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { programEnvironment } from '../model/program-environment.ts';

/**
 * One small shell process that outlives this one by a few seconds and cleans up after it.
 *
 * Servers started for a test, a benchmark or a demo must not stay behind, however their parent ends: normally, by
 * Ctrl-C, by an uncaught error, or by `kill -9`, which the parent can't catch. So the clean-up isn't in the parent at all.
 * The guard holds the reading end of a pipe. When the parent is gone, the kernel closes the writing end. The guard then stops
 * each registered server by its own signal, or by SIGKILL after ten seconds, and removes the registered scratch folders. It runs in a session of its own and ignores the terminal's signals. (Linux's PR_SET_PDEATHSIG would not do: it
 * isn't reachable from Node, isn't portable, and can't remove a folder.)
 */
const GUARD_SCRIPT = `
trap '' HUP INT TERM
processes=' ' folders=''
while IFS=' ' read -r verb subject signal; do
  case $verb in
    watch) processes="$processes$subject:$signal " ;;
    forget) processes=$(printf %s "$processes" | sed "s/ $subject:[A-Z]* / /") ;;
    folder) folders="$folders$subject
" ;;
  esac
done
for process in $processes; do kill -s "\${process#*:}" "\${process%:*}" 2>/dev/null; done
tries=0
for process in $processes; do
  while kill -s 0 -- "-\${process%:*}" 2>/dev/null && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
  kill -s KILL -- "-\${process%:*}" 2>/dev/null
done
printf %s "$folders" | while IFS= read -r folder; do rm -rf -- "$(printf %b "$folder")"; done
`;

let guard: ChildProcess | undefined;
const watched = new Set<string>();

/** Tells the guard to stop the process group that `pid` leads, by `signal`, if this process ends without `forgetProcess`. */
export function guardProcess(pid: number, signal: NodeJS.Signals): void {
  watched.add(`process ${pid}`);
  tell(`watch ${pid} ${signal.replace(/^SIG/, '')}`);
}

/** Tells the guard that the process has ended, since another one may get its id soon. */
export function forgetProcess(pid: number): void {
  if (!watched.delete(`process ${pid}`)) return;
  tell(`forget ${pid}`);
  dismissIfIdle();
}

/** Tells the guard to remove a folder if this process ends without `forgetFolder`. */
export function guardFolder(folder: string): void {
  watched.add(`folder ${folder}`);
  tell(`folder ${escaped(folder)}`);
}

/** Forgets a removed folder. Its random name isn't used again, so the guard need not be told. */
export function forgetFolder(folder: string): void {
  watched.delete(`folder ${folder}`);
  dismissIfIdle();
}

/** Has the guard stop and remove everything that it watches, also what is started meanwhile, and waits until that is done. */
export async function cleanUpNow(): Promise<void> {
  while (guard !== undefined) {
    const ending = guard;
    guard = undefined;
    if (ending.exitCode !== null || ending.signalCode !== null) continue;
    const gone = once(ending, 'exit');
    ending.ref();
    ending.stdin?.end();
    await gone;
  }
}

function tell(line: string): void {
  guard ??= startGuard();
  guard.stdin?.write(`${line}\n`);
}

function startGuard(): ChildProcess {
  const child = spawn('/bin/sh', ['-c', GUARD_SCRIPT], {
    detached: true,
    cwd: '/',
    env: programEnvironment(process.env),
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  // The guard must not keep this process alive. Its stdin is a socket, whose type Node hides behind Writable.
  if (child.stdin !== null && 'unref' in child.stdin && typeof child.stdin.unref === 'function') {
    child.stdin.unref();
  }
  return child;
}

function dismissIfIdle(): void {
  if (watched.size > 0) return;
  guard?.stdin?.end();
  guard = undefined;
}

/** Escapes a text for the guard, which reads lines and words and decodes each by `printf %b`. */
function escaped(folder: string): string {
  return folder.replace(
    /[\\ \t\n\r]/g,
    (character) => `\\0${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}
