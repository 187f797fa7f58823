// Frames of a video file or of the camera, one after the other, as they are asked for.

import { Problem } from "./litert.js";
import { openCamera } from "./page.js";

const LONGEST = 1280; // pixels on a side; larger frames are reduced
const SLOWEST = 1 / 16; // that browsers play a video

/** Frames that a video element shows. A file is played no faster than it is asked. */
export class Footage {
  constructor(video) {
    this.video = video;
    this.context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    this.stream = null;
  }

  /** Opens a video file, at its first frame. */
  async openFile(file) {
    this.close();
    const { video } = this;
    this.seconds = 1 / 30; // of a frame, until it is known
    video.src = URL.createObjectURL(file);
    const problem = await new Promise((done) => {
      video.onloadeddata = () => done(video.videoWidth ? "" : "has no picture");
      video.onerror = () => done("cannot be played by this browser");
    });
    if (problem) {
      this.close();
      throw new Problem(`${file.name} ${problem}; try an MP4 (H.264) or WebM file.`);
    }
  }

  async openCamera() {
    const stream = await openCamera("choose a video");
    this.close();
    this.stream = stream;
    this.video.srcObject = stream;
    await this.video.play();
  }

  close() {
    const { video } = this;
    video.pause();
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = video.srcObject = null;
    if (video.src) URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
  }

  /** Lets a file's frames pass, slowly at first: it is not known how long one takes. */
  async play() {
    this.seen = this.given = null;
    this.skipped = 0;
    if (this.stream) return;
    this.video.playbackRate = 0.25;
    await this.video.play().catch((error) => {
      if (error.name !== "AbortError") throw error; // it was held again at once
    });
  }

  /** Holds a file; a camera's picture cannot be held. */
  pause() {
    if (!this.stream) this.video.pause();
  }

  async rewind() {
    const { video } = this;
    const arrived = new Promise((done) => { video.onseeked = done; });
    video.currentTime = 0;
    await arrived;
  }

  /** The frame after this one, an ImageData; null at the end of a file. */
  async next() {
    if (!this.stream && this.given) this.pace(performance.now() - this.given);
    const shown = await this.presented();
    if (!shown) return null;
    if (this.seen) {
      const frames = shown.presentedFrames - this.seen.presentedFrames;
      this.skipped += Math.max(0, frames - 1) || 0;
      const passed = shown.mediaTime - this.seen.mediaTime;
      if (frames > 0 && passed > 0) this.seconds = passed / frames;
    }
    this.seen = shown;
    this.given = performance.now();
    return this.grab();
  }

  /** What the browser says of the frame that it shows next; null at the end. */
  presented() {
    const { video } = this;
    if (video.ended) return null;
    const was = video.currentTime;
    return new Promise((done) => {
      const finish = (shown) => {
        video.removeEventListener("ended", end);
        done(shown);
      };
      const end = () => finish(null);
      const look = () => (video.currentTime === was ? requestAnimationFrame(look)
        : finish({ mediaTime: video.currentTime }));
      video.addEventListener("ended", end);
      if (!video.requestVideoFrameCallback) return look();
      video.requestVideoFrameCallback((_, shown) => finish(shown));
    });
  }

  /** Plays so that a frame lasts a little longer than its milliseconds of work. */
  pace(spent) {
    const rate = Math.min(Math.max((1000 * this.seconds) / (1.3 * spent), SLOWEST), 1);
    if (Math.abs(rate / this.video.playbackRate - 1) > 0.1) this.video.playbackRate = rate;
  }

  /** The frame at hand. */
  grab() {
    const { videoWidth: width, videoHeight: height } = this.video;
    const factor = Math.min(1, LONGEST / Math.max(width, height));
    const size = [width, height].map((each) => Math.round(each * factor));
    const { canvas } = this.context;
    if (canvas.width !== size[0] || canvas.height !== size[1]) {
      [canvas.width, canvas.height] = size;
    }
    this.context.drawImage(this.video, 0, 0, ...size);
    return this.context.getImageData(0, 0, ...size);
  }
}
