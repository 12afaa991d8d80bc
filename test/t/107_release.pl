# A release: the versions that are written down agree, META.json says what is true, and what make dist packs is what belongs to a
# release, the same bytes each time, and builds. No server is needed.

use strict;
use warnings;

use File::Basename;
use File::Find;
use FindBin;
use IO::Uncompress::Unzip qw($UnzipError);
use IPC::Run;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(dirname($FindBin::RealBin));
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
my $dir = PostgreSQL::Test::Utils::tempdir;

# What the pattern's group matches first in the file.
sub said
{
	my ($file, $pattern) = @_;

	return slurp_file("$root/$file") =~ $pattern ? $1 : "not in $file";
}

# Runs the command, and shows what it printed if it fails.
sub succeeds
{
	my ($label, @command) = @_;
	my ($out, $done) = ('');
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$done = eval { IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>&1') };
	ok($done, $label) or diag(substr $out || $@, -3000);
	return $done ? $out : undef;
}

# The files below the directory, by their path in it.
sub files
{
	my ($top) = @_;
	my @files;

	find({ no_chdir => 1, wanted => sub { push @files, substr($_, 1 + length $top) if -f || -l } }, $top);
	return sort @files;
}

# ---------------------------------------------------------------- what is written down

my $version = said('Makefile', qr/^EXTVERSION = (\S+)$/m);
my $meta = decode_json(slurp_file("$root/META.json"));
my $provided = $meta->{provides}{governance};

like($version, qr/^\d+\.\d+\.\d+$/, 'the Makefile has a version');
is(said('governance.control', qr/^default_version = '(.*)'$/m), $version, 'governance.control has the same');
is($meta->{version}, $version, 'META.json too');
is($provided->{version}, $version, 'and for its extension');
is(said('CHANGELOG.md', qr/^## (\S+)/m), $version, 'CHANGELOG.md begins with it');
is(said('debian/changelog', qr/\Agovernance \(([^)]+)-[^-)]+\) /), $version, 'debian/changelog too');
is( said('CHANGELOG.md', qr/^## \S+ \((unreleased)\)$/m) eq 'unreleased',
	said('debian/changelog', qr/\A\S+ \S+ (UNRELEASED);/) eq 'UNRELEASED',
	'both say whether it is released');

is(said('governance.control', qr/^comment = '(.*)'$/m), lcfirst $meta->{abstract}, 'one sentence says what it is');
is_deeply([ sort grep { !defined $meta->{$_} } qw(abstract license maintainer meta-spec name provides version) ],
	[], 'META.json has what PGXN requires');

my @versions = split ' ', slurp_file("$root/debian/pgversions");
my $control = slurp_file("$root/debian/control.in");

is_deeply(\@versions, [ said('test/matrix', qr/^declare -A SUITES=\((.*)\)$/m) =~ /\[(\d+)\]=/g ], 'the versions of PostgreSQL packaged are those tested');
is($meta->{prereqs}{runtime}{requires}{PostgreSQL}, "$versions[0].0.0", 'META.json requires the first of them');
$control =~ s/PGVERSION/$versions[-1]/g;
is(slurp_file("$root/debian/control"), $control, 'debian/control is control.in for the last of them');

# ---------------------------------------------------------------- make dist

# The archives of what a commit of this tree would have, with the repository beside the tree: it may have none, or changes in it.
sub pack_release
{
	my ($directory, $zone, $umask) = @_;
	my $before = umask $umask;
	local $ENV{TZ} = $zone;

	mkdir $directory or die "cannot make $directory: $!";
	succeeds("make dist in $zone", 'make', '-C', $directory, '-f', "$root/Makefile", 'dist');
	umask $before;
	return map { slurp_file("$directory/governance-$version.$_") } ('tar.gz', 'zip');
}

sub names_in_zip
{
	my ($file) = @_;
	my $zip = IO::Uncompress::Unzip->new($file) or die $UnzipError;
	my @names;

	do { push @names, $zip->getHeaderInfo->{Name} } while ($zip->nextStream == 1);
	return @names;
}

sub only_files { return [ sort grep { !m{/$} } @_ ]; }

SKIP:
{
	skip 'no git', 1 unless eval { IPC::Run::run([ 'git', '--version' ], '>', '/dev/null') };
	delete local @ENV{qw(MAKEFLAGS MAKELEVEL)};

	my $name = "governance-$version";
	my (@first, @second, @committed, $packed);
	{
		local $ENV{GIT_DIR} = "$dir/repository";
		local $ENV{GIT_WORK_TREE} = $root;
		local $ENV{GIT_CONFIG_GLOBAL} = '/dev/null';

		succeeds('a repository', 'git', 'init', '-q');
		succeeds('has the tree', 'git', '-C', $root, 'add', '-A');
		succeeds('committed', 'git', '-c', 'user.name=test', '-c', 'user.email=test@localhost', 'commit', '-q', '-m', 'release');
		@committed = split /\n/, succeeds('it lists it', 'git', '-C', $root, 'ls-files');
		@first = pack_release("$dir/first", 'UTC', 0022);
		@second = pack_release("$dir/second", 'Asia/Tokyo', 0077);
	}
	ok($first[0] eq $second[0], 'the tarball has the same bytes at another place and time');
	ok($first[1] eq $second[1], 'and the zip');

	$packed = only_files(split /\n/, succeeds('the tarball can be read', 'tar', '-tzf', "$dir/first/$name.tar.gz"));
	is_deeply($packed, [ sort map { "$name/$_" } grep { !m{(?:^|/)\.} } @committed ], 'it has the tree, without what only the repository needs');
	is_deeply(only_files(names_in_zip("$dir/first/$name.zip")), $packed, 'so does the zip');
	is_deeply([ grep { m{\.(?:o|so|bc|zip|gz)$|/sql/governance--} } @$packed ], [], 'nothing in it was made');

	my %packed = map { $_ => 1 } @$packed;
	is_deeply([ grep { !$packed{"$name/$_"} } $provided->{file}, $provided->{docfile}, @{ $meta->{x_documents} } ], [], 'META.json names files of it');

	# without optimization, which takes most of the time
	my @make = ('make', '-s', '-C', "$dir/$name", "PG_CONFIG=$pg_config", 'with_llvm=no', 'COPT=-O0');

	succeeds('it is unpacked', 'tar', '-C', $dir, '-xzf', "$dir/first/$name.tar.gz");
	succeeds('it builds', @make);
	succeeds('and is installed', @make, 'install', "DESTDIR=$dir/installed");
	is_deeply(
		[ sort grep { /^governance/ } map { basename $_ } files("$dir/installed") ],
		[ sort 'governance.so', 'governance.control', "governance--$version.sql", map { "governance--" . basename $_ } glob "$root/sql/upgrade/*.sql" ],
		'the library, the script and the upgrades are there');
}

done_testing();
