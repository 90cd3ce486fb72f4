// The face as a mesh that turns, textured by its crop where the crop shows it; by ogl.

import { Camera, Geometry, Mesh, Program, Renderer, Texture, Transform } from "ogl";
import { bits, bytes } from "./data.js";

const VERTEX = `#version 300 es
in vec3 position; in vec3 normal; in vec2 uv; in float seen;
uniform mat4 modelViewMatrix, projectionMatrix; uniform mat3 normalMatrix;
out vec3 vNormal; out vec2 vUv; out float vSeen;
void main() {
  vNormal = normalMatrix * normal; vUv = uv; vSeen = seen;
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec3 vNormal; in vec2 vUv; in float vSeen;
uniform sampler2D tMap; uniform float plain;
out vec4 color;
void main() {
  vec3 n = normalize(vNormal) * (gl_FrontFacing ? 1.0 : -1.0);
  float light = 0.35 + 0.7 * max(0.0, dot(n, normalize(vec3(-0.35, 0.55, 1.0))));
  vec3 grey = vec3(0.6) * light;
  vec3 shown = texture(tMap, vUv).rgb * (0.75 + 0.25 * light);
  float share = gl_FrontFacing ? smoothstep(0.4, 0.6, vSeen) * (1.0 - plain) : 0.0;
  color = vec4(mix(grey * (gl_FrontFacing ? 1.0 : 0.4), shown, share), 1.0);
}`;

const STEP = Math.PI / 24; // of a key
const FIRST_TURN = 0.35; // radians: shows at once that this is a surface

/** Whether this browser draws in 3D. */
export function has3d() {
  try {
    return document.createElement("canvas").getContext("webgl2") !== null;
  } catch {
    return false;
  }
}

/** Points, normals, uv and triangles. @param {import("./data.js").MeshData} data @param {number} size of the crop, px */
export function surface(data, size) {
  const { side } = data;
  const covered = bits(bytes(data.covered), side * side);
  const codes = new Uint16Array(bytes(data.points).buffer);
  const n = codes.length / 3;
  const seen = Float32Array.from(bits(bytes(data.seen), n));
  const number = new Int32Array(side * side).fill(-1);
  for (let k = 0, next = 0; k < side * side; k++) if (covered[k]) number[k] = next++;
  const position = new Float32Array(3 * n);
  const uv = new Float32Array(2 * n);
  const { middle } = data;
  const scale = 1 / Math.max(data.reach, 1e-6);
  for (let k = 0; k < n; k++) {
    const [x, y, z] = [0, 1, 2].map((axis) => data.low[axis] + (codes[3 * k + axis] / 65535) * (data.high[axis] - data.low[axis]));
    position.set([(x - middle[0]) * scale, -(y - middle[1]) * scale, (z - middle[2]) * scale], 3 * k);
    uv.set([(x + 0.5) / size, (y + 0.5) / size], 2 * k);
  }
  const index = [];
  for (let row = 0; row + 1 < side; row++) {
    for (let column = 0; column + 1 < side; column++) {
      const k = row * side + column;
      const [a, b, c, d] = [number[k], number[k + 1], number[k + side], number[k + side + 1]];
      const missing = [a, b, c, d].filter((corner) => corner < 0).length;
      if (missing > 1) continue;
      if (a >= 0 && b >= 0 && c >= 0) index.push(a, c, b);
      if (b >= 0 && c >= 0 && d >= 0) index.push(b, c, d);
      if (c < 0) index.push(a, d, b); // along the other diagonal
      if (b < 0) index.push(a, c, d);
    }
  }
  const triangles = new Uint32Array(index);
  return { position, normal: normals(position, triangles), uv, seen, index: triangles };
}

/** Sums of the triangles' normals at each vertex. @param {Float32Array} position @param {Uint32Array} index */
function normals(position, index) {
  const out = new Float32Array(position.length);
  for (let t = 0; t < index.length; t += 3) {
    const [a, b, c] = [3 * index[t], 3 * index[t + 1], 3 * index[t + 2]];
    const u = [0, 1, 2].map((axis) => position[b + axis] - position[a + axis]);
    const v = [0, 1, 2].map((axis) => position[c + axis] - position[a + axis]);
    const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const vertex of [a, b, c]) for (let axis = 0; axis < 3; axis++) out[vertex + axis] += normal[axis];
  }
  return out;
}

export class FaceMesh {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new Renderer({ canvas, alpha: true, antialias: true, dpr: Math.min(2, devicePixelRatio), webgl: 2 });
    this.gl = this.renderer.gl;
    this.camera = new Camera(this.gl, { near: 0.1, far: 40 });
    this.camera.position.z = 20;
    this.scene = new Transform();
    this.scene.rotation.reorder("XYZ"); // turned first, then tilted
    this.yaw = 0;
    this.pitch = 0;
    this.zoom = 1;
    this.plain = { value: 0 };
    canvas.addEventListener("keydown", (event) => this.pressed(event));
    this.followPointer();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** @param {import("./data.js").MeshData} data @param {number} size of the crop, px @param {HTMLImageElement} image */
  show(data, size, image) {
    const { gl } = this;
    for (const child of [...this.scene.children]) {
      child.setParent(null);
      /** @type {Mesh} */ (child).geometry.remove();
      /** @type {Mesh} */ (child).program.remove();
    }
    if (this.texture) gl.deleteTexture(this.texture.texture);
    const found = surface(data, size);
    const geometry = new Geometry(gl, {
      position: { size: 3, data: found.position }, normal: { size: 3, data: found.normal },
      uv: { size: 2, data: found.uv }, seen: { size: 1, data: found.seen }, index: { data: found.index },
    });
    this.texture = new Texture(gl, { image, flipY: false, generateMipmaps: false, minFilter: gl.LINEAR });
    const uniforms = { tMap: { value: this.texture }, plain: this.plain };
    const program = new Program(gl, { vertex: VERTEX, fragment: FRAGMENT, uniforms, cullFace: false });
    new Mesh(gl, { geometry, program }).setParent(this.scene);
    this.turn(FIRST_TURN * data.turn, 0, 1);
  }

  /** @param {number} yaw @param {number} pitch radians @param {number} [zoom] */
  turn(yaw, pitch, zoom = this.zoom) {
    this.yaw = Math.atan2(Math.sin(yaw), Math.cos(yaw));
    this.pitch = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, pitch));
    this.zoom = Math.max(0.5, Math.min(8, zoom));
    const degrees = [this.yaw, this.pitch].map((angle) => Math.round((angle * 180) / Math.PI));
    this.canvas.setAttribute("aria-valuetext", `turned by ${degrees[0]}°, tilted by ${degrees[1]}°`);
    this.canvas.setAttribute("aria-valuenow", String(degrees[0]));
    this.canvas.dataset.turn = degrees.join(" ");
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height || !this.scene.children.length) return;
    const ratio = Math.min(2, devicePixelRatio);
    if (this.canvas.width !== Math.round(width * ratio)) this.renderer.setSize(width, height);
    const reach = 1.3 / this.zoom;
    this.camera.orthographic({ left: (-reach * width) / height, right: (reach * width) / height, bottom: -reach, top: reach });
    this.scene.rotation.set(this.pitch, this.yaw, 0);
    this.renderer.render({ scene: this.scene, camera: this.camera });
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.turn(this.yaw - STEP, this.pitch), ArrowRight: () => this.turn(this.yaw + STEP, this.pitch),
      ArrowUp: () => this.turn(this.yaw, this.pitch - STEP), ArrowDown: () => this.turn(this.yaw, this.pitch + STEP),
      "+": () => this.turn(this.yaw, this.pitch, this.zoom * 1.2), "=": () => this.turn(this.yaw, this.pitch, this.zoom * 1.2),
      "-": () => this.turn(this.yaw, this.pitch, this.zoom / 1.2), 0: () => this.turn(0, 0, 1),
    };
    if (!(event.key in keys)) return;
    keys[event.key]();
    event.preventDefault();
    event.stopPropagation();
  }

  followPointer() {
    /** @type {[number, number] | null} */
    let last = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const rate = Math.PI / Math.max(200, this.canvas.clientWidth);
      this.turn(this.yaw + (event.clientX - last[0]) * rate, this.pitch + (event.clientY - last[1]) * rate);
      last = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => (last = null));
  }
}
