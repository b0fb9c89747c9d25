import { type Browser, chromium } from 'playwright-core';
import { messageOf, permanent } from '../model/errors.ts';
import { orInstall, type Report } from './debian.ts';
import { findOnPath } from './path.ts';

const MISSING = 'CHROMIUM_MISSING';

/** Fonts of their own, so that pages look the same on a machine without any. */
const PACKAGES = ['chromium', 'fonts-dejavu-core', 'fonts-liberation'];

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** Where Chromium is; installed first where it is missing and may be. Throws `CHROMIUM_MISSING`. */
export function ensureChromium(report?: Report): Promise<string> {
  return orInstall(findChromium, [MISSING], PACKAGES, report);
}

async function findChromium(): Promise<string> {
  for (const name of PROGRAMS) {
    const found = await findOnPath(name);
    if (found !== undefined) return found;
  }
  throw permanent(
    MISSING,
    'no Chromium on this machine',
    'Install it: `apt-get install chromium` on Debian and Ubuntu, `brew install --cask chromium` on macOS.',
  );
}

/**
 * Starts a headless Chromium, to be closed by the caller; it ends with this process.
 *
 * @throws HoldfastError `CHROMIUM_MISSING`, `CHROMIUM_START`
 */
export async function startChromium(report?: Report): Promise<Browser> {
  const executablePath = await ensureChromium(report);
  try {
    return await chromium.launch({
      executablePath,
      args: [
        // Its sandbox needs to be another user than root; what is opened here is our own.
        ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
        // A container's /dev/shm has 64 MB.
        ...['--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb', '--no-first-run'],
        ...['--disable-background-networking', '--disable-component-update', '--disable-extensions'],
      ],
    });
  } catch (error) {
    throw permanent(
      'CHROMIUM_START',
      `${executablePath} doesn't start: ${messageOf(error)}`,
      'Start it by hand to see why; in a container it needs a writable home directory.',
      error,
    );
  }
}
