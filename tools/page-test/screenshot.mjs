// node screenshot.mjs URL SECONDS LIGHT.png DARK.png
//
// Opens the worker's page, watches it so long, and takes a picture of it in light and in dark.
import { launch } from './browser.mjs';

const [address, seconds, light, dark] = process.argv.slice(2);
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1280, height: 880 } });
await page.goto(address);
await page.waitForTimeout(Number(seconds) * 1000);
for (const [colorScheme, path] of [['light', light], ['dark', dark]]) {
  await page.emulateMedia({ colorScheme });
  await page.screenshot({ path });
}
console.log(await page.title());
await browser.close();
