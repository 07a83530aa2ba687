// What every page of the console uses. An area has a module of its own beside it.
import "./menu.js";
import "./dialogs.js";
import "./copy.js";
import "./times.js";
import "./live.js";
