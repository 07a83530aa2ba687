/* Runs one module of Cloud Connect in the Python that lies beside this program.
 *
 * The service manager, the task manager and firewalls see a program of ours, not "python.exe". It
 * is built once for each of our commands: -DMODULE says which module it runs, -DPYTHON_DLL which
 * library it loads from the folder "python" beside it. Py_Main is part of Python's stable
 * interface; PyConfig would tie this file to the layout of one version's structure.
 */
#include <windows.h>
#include <shlobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#define MAX_PATH_CHARACTERS 32768 /* the longest path that Windows knows */

typedef int (*main_function)(int, wchar_t **);

static int refuse(const wchar_t *reason)
{
    fwprintf(stderr, L"Cloud Connect: %ls (Windows error %lu); install it again.\n", reason,
             GetLastError());
    return 1;
}

/* The agent of this PC is the service's, for whoever asks: its files are where all users' are. */
static void choose_home(void)
{
    static wchar_t home[MAX_PATH_CHARACTERS];
    wchar_t *data;

    if (GetEnvironmentVariableW(L"CLOUD_CONNECT_HOME", NULL, 0) != 0
        || FAILED(SHGetKnownFolderPath(&FOLDERID_ProgramData, 0, NULL, &data)))
        return;
    if (swprintf(home, MAX_PATH_CHARACTERS, L"%ls\\CloudConnect", data) > 0)
        SetEnvironmentVariableW(L"CLOUD_CONNECT_HOME", home);
    CoTaskMemFree(data);
}

int wmain(int argc, wchar_t **argv)
{
    static const wchar_t library_name[] = L"python\\" PYTHON_DLL;
    /* -I: no environment variable, no folder of the user's and not the current one decides what is
     * imported. -B: nothing is written beside the program, so that uninstalling leaves nothing. */
    static wchar_t *const options[] = {L"-I", L"-B", L"-X", L"utf8", L"-m", MODULE};
    /* What would weaken or write down the keys of TLS, as in the units for systemd. */
    static const wchar_t *const unwanted[] = {L"SSLKEYLOGFILE", L"SSL_CERT_FILE", L"SSL_CERT_DIR",
                                              L"OPENSSL_CONF", L"OPENSSL_MODULES"};
    enum {
        OPTIONS = sizeof options / sizeof *options,
        UNWANTED = sizeof unwanted / sizeof *unwanted
    };
    static wchar_t path[MAX_PATH_CHARACTERS + sizeof library_name];

    DWORD length = GetModuleFileNameW(NULL, path, MAX_PATH_CHARACTERS);
    wchar_t *name = wcsrchr(path, L'\\');
    if (length == 0 || length >= MAX_PATH_CHARACTERS || name == NULL)
        return refuse(L"its own folder cannot be found");
    wcscpy(name + 1, library_name);
    SetDllDirectoryW(L""); /* never from the current folder, which anybody may have filled */
    HMODULE python = LoadLibraryExW(
        path, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
    if (python == NULL)
        return refuse(L"its Python cannot be loaded");
    main_function py_main = (main_function)(void *)GetProcAddress(python, "Py_Main");
    wchar_t **words = calloc((size_t)argc + OPTIONS + 1, sizeof *words);
    if (py_main == NULL || words == NULL)
        return refuse(L"its Python cannot be started");
    words[0] = argv[0];
    for (int at = 0; at < UNWANTED; at++)
        SetEnvironmentVariableW(unwanted[at], NULL);
    choose_home();
    for (int at = 0; at < OPTIONS; at++)
        words[1 + at] = options[at];
    for (int at = 1; at < argc; at++)
        words[OPTIONS + at] = argv[at];
    return py_main(argc + OPTIONS, words);
}
