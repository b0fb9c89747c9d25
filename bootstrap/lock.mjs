/**
 * A lock between processes, as a file that names its holder. Works on any Node >= 18 without dependencies, since the
 * first thing it protects is the installation of the dependencies.
 *
 * A holder that dies (kill -9, power) leaves the file behind; the next one to ask finds that the process is gone and
 * takes the lock over. What the lock protects is published by an atomic rename, or can be run again, so that even a
 * takeover gone wrong costs time and never a wrong result.
 */
import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 250;

/** @typedef {{ readonly pid: number, readonly host: string, readonly token: string }} Holder */

/**
 * Runs `action` while no other process on this machine holds `lockFile`.
 *
 * @template T
 * @param {string} lockFile path of the lock; its folder is created
 * @param {{ readonly onWait?: (pid: number) => void }} options `onWait` is called once, with the holder's process id
 * @param {() => Promise<T>} action
 * @returns {Promise<T>} what `action` returned
 */
export async function withLock(lockFile, options, action) {
  await mkdir(path.dirname(lockFile), { recursive: true });
  const holder = { pid: process.pid, host: hostname(), token: randomBytes(8).toString('hex') };
  let announced = false;
  while (!(await tryAcquire(lockFile, holder))) {
    const current = await readHolder(lockFile);
    if (current === undefined) continue;
    if (isDead(current)) {
      await takeAway(lockFile, current, holder.token);
      continue;
    }
    if (!announced) options.onWait?.(current.pid);
    announced = true;
    await sleep(POLL_MS);
  }
  try {
    return await action();
  } finally {
    await rm(lockFile, { force: true });
  }
}

/**
 * A hard link appears whole or not at all, so nobody ever reads a lock without its holder.
 *
 * @param {string} lockFile
 * @param {Holder} holder
 */
async function tryAcquire(lockFile, holder) {
  const claim = `${lockFile}.${holder.token}`;
  await writeFile(claim, JSON.stringify(holder));
  try {
    await link(claim, lockFile);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(claim, { force: true });
  }
}

/**
 * @param {string} lockFile
 * @returns {Promise<Holder | undefined>} undefined once the lock is free
 */
async function readHolder(lockFile) {
  try {
    return JSON.parse(await readFile(lockFile, 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new Error(`the lock ${lockFile} can't be read; delete it if no other holdfast is running`, {
      cause: error,
    });
  }
}

/** @param {Holder} holder a holder on another machine (a shared home folder) counts as alive */
function isDead(holder) {
  if (holder.host !== hostname()) return false;
  try {
    process.kill(holder.pid, 0);
    return false;
  } catch (error) {
    return codeOf(error) === 'ESRCH';
  }
}

/**
 * Removes a dead holder's lock; puts it back when another process was quicker and the lock is a living one by now.
 *
 * @param {string} lockFile
 * @param {Holder} dead
 * @param {string} ownToken
 */
async function takeAway(lockFile, dead, ownToken) {
  const aside = `${lockFile}.dead.${ownToken}`;
  try {
    await rename(lockFile, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  const moved = await readHolder(aside);
  if (moved !== undefined && moved.token !== dead.token) await link(aside, lockFile);
  await rm(aside, { force: true });
}

/** @param {unknown} error */
function codeOf(error) {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
