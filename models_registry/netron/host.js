// Netron as a guest of ours: no cookies, no telemetry, no question to another host, no date after which it refuses.
// The model comes by a message from the page around this frame; the frame has no origin and could not fetch it.
import { Host } from './browser.js';
import { View } from './view.js';

class Guest extends Host {
  async view(view) {
    this._view = view;
  }

  async start() {
    window.addEventListener('message', (event) => {
      if (event.source === window.parent && event.data && event.data.bytes instanceof ArrayBuffer) {
        const file = new File([event.data.bytes], event.data.name);
        this._open(file, [file]);
      }
    });
    window.parent.postMessage('ready', '*');
  }

  environment(name) {
    return name === 'serial' ? true : super.environment(name); // a worker would need an origin
  }

  event() {}

  exception() {}

  openURL() {}
}

window.__view__ = new View(new Guest());
window.__view__.start();
