package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Files of a PostgreSQL folder. "location" exists only when the data is kept
// elsewhere: it holds the absolute path of the folder that replaces this one.
const (
	dataFolder   = "data"
	passwordFile = "password"
	locationFile = "location"
)

// cluster says where PostgreSQL keeps its data, and as which user it runs.
type cluster struct {
	dir  string              // the caller's folder: password and location
	home string              // dir, or the folder that replaces it
	data string              // home/data, which belongs to the server
	user *syscall.Credential // nil: the current user
}

// openCluster finds or creates the folders of a cluster.
func openCluster(dir string) (cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return cluster{}, fmt.Errorf("path: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return cluster{}, fmt.Errorf("create folder: %w", err)
	}
	c := cluster{dir: dir, home: dir}
	if os.Geteuid() == 0 {
		if c.user, err = serverUser(); err != nil {
			return cluster{}, err
		}
		if c.home, err = reachableHome(dir, c.user); err != nil {
			return cluster{}, err
		}
	}
	c.data = filepath.Join(c.home, dataFolder)
	return c, nil
}

// serverUser returns the system user that runs the server for root.
func serverUser() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(found.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(found.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody: add one of them, or start as another user than root")
}

// reachableHome returns dir when the user can reach it, else a folder under the
// temporary directory, whose path it writes into dir.
func reachableHome(dir string, as *syscall.Credential) (string, error) {
	remembered, err := rememberedHome(dir)
	if err != nil || remembered != "" {
		return remembered, err
	}
	if isReachable(dir, as) {
		return dir, nil
	}
	home, err := os.MkdirTemp("", "watchfire-postgres-")
	if err != nil {
		return "", fmt.Errorf("create folder: %w", err)
	}
	if err := os.Chmod(home, 0o711); err != nil { // #nosec G302 -- the server's user must pass; the data inside is 0700
		return "", fmt.Errorf("open folder: %w", err)
	}
	if !isReachable(home, as) {
		return "", fmt.Errorf("the user PostgreSQL runs as can reach neither %s nor %s: "+
			"set TMPDIR to a folder open to it", dir, home)
	}
	if err := os.WriteFile(filepath.Join(dir, locationFile), []byte(home+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("remember folder: %w", err)
	}
	return home, nil
}

// rememberedHome returns the replacement folder that dir names, or "" when dir
// names none or the system has removed it since.
func rememberedHome(dir string) (string, error) {
	content, err := os.ReadFile(filepath.Join(dir, locationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("recall folder: %w", err)
	}
	home := strings.TrimSpace(string(content))
	found, err := os.Lstat(home)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("recall folder: %w", err)
	}
	if status, ok := found.Sys().(*syscall.Stat_t); !ok || !found.IsDir() || int(status.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s, named by %s, is not a folder of this user: remove the latter file and start again", home, filepath.Join(dir, locationFile))
	}
	return home, nil
}

// isReachable reports whether the user may pass through dir and all its parents.
func isReachable(dir string, as *syscall.Credential) bool {
	for {
		found, err := os.Stat(dir)
		if err != nil || !isPassable(found, as) {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

// isPassable reports whether the user may pass through the folder.
func isPassable(folder fs.FileInfo, as *syscall.Credential) bool {
	status, ok := folder.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	switch {
	case status.Uid == as.Uid:
		return folder.Mode()&0o100 != 0
	case status.Gid == as.Gid:
		return folder.Mode()&0o010 != 0
	default:
		return folder.Mode()&0o001 != 0
	}
}

// initialise creates the cluster unless there is one and returns the
// superuser's password. After an interrupted attempt it starts anew.
func (c cluster) initialise(ctx context.Context, binDir string) (string, error) {
	if _, err := os.Stat(filepath.Join(c.data, "PG_VERSION")); err == nil {
		password, err := os.ReadFile(filepath.Join(c.dir, passwordFile))
		if err != nil {
			return "", fmt.Errorf("read the password of the existing data: %w", err)
		}
		return strings.TrimSpace(string(password)), nil
	}
	password := rand.Text()
	attempt, err := os.MkdirTemp(c.home, "initdb-")
	if err != nil {
		return "", fmt.Errorf("create folder: %w", err)
	}
	defer os.RemoveAll(attempt)
	if err := c.runInitdb(ctx, binDir, attempt, password); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(c.dir, passwordFile), []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the password: %w", err)
	}
	if err := os.Rename(filepath.Join(attempt, dataFolder), c.data); err != nil {
		return "", fmt.Errorf("put the data in place: %w", err)
	}
	return password, nil
}

// runInitdb creates attempt/data as the server's user.
func (c cluster) runInitdb(ctx context.Context, binDir, attempt, password string) error {
	secret := filepath.Join(attempt, passwordFile)
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
		return fmt.Errorf("hand over the password: %w", err)
	}
	for _, path := range []string{attempt, secret} {
		if c.user == nil {
			break
		}
		if err := os.Chown(path, int(c.user.Uid), int(c.user.Gid)); err != nil {
			return fmt.Errorf("hand over %s: %w", path, err)
		}
	}
	initdb := exec.CommandContext(ctx, filepath.Join(binDir, "initdb"),
		"--pgdata", filepath.Join(attempt, dataFolder), "--username", postgresUser, "--pwfile", secret,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C")
	initdb.Dir = "/"
	initdb.Env = append(os.Environ(), "LC_ALL=C")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: c.user, Setpgid: true}
	if text, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, text)
	}
	return nil
}

// runningServer reports whether a server runs on the data, and its process id:
// the lock file names a live process whose working folder is the data.
func (c cluster) runningServer() (pid int, running bool) {
	content, err := os.ReadFile(filepath.Join(c.data, "postmaster.pid"))
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(content), "\n")
	if pid, err = strconv.Atoi(first); err != nil {
		return 0, false
	}
	folder, err := os.Stat(filepath.Join("/proc", first, "cwd"))
	if err != nil {
		return pid, false
	}
	data, err := os.Stat(c.data)
	return pid, err == nil && os.SameFile(folder, data)
}

// RemovePostgres removes the folder of a stopped PostgreSQL with all its data,
// also data that is kept elsewhere. A folder that does not exist is no error; a
// server that still runs is one.
func RemovePostgres(dir string) error {
	home, err := rememberedHome(dir)
	if err != nil {
		return fmt.Errorf("remove PostgreSQL data: %w", err)
	}
	c := cluster{data: filepath.Join(dir, dataFolder)}
	if home != "" {
		c.data = filepath.Join(home, dataFolder)
	}
	if pid, running := c.runningServer(); running {
		return fmt.Errorf("remove PostgreSQL data: a server (pid %d) still runs on %s: stop it first", pid, c.data)
	}
	for _, path := range []string{home, dir} {
		if path == "" {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove PostgreSQL data: %w", err)
		}
	}
	return nil
}
