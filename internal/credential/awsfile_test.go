package credential_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/credential/credentialtest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/simulate"
)

// TestSecurityRow18CredentialProcess: a program that is named where the AWS
// command line would start it is never started, and the file is refused when
// it is loaded.
func TestSecurityRow18CredentialProcess(t *testing.T) {
	dir := t.TempDir()
	marker := filepath.Join(dir, "started")
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ntouch "+marker+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(dir, "config")
	if err := os.WriteFile(shared, []byte("[default]\nregion=us-east-1\ncredential_process="+program+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const keys = "aws_access_key_id=AKID\naws_secret_access_key=" + credentialtest.Marker + "\n"
	for name, file := range map[string]string{
		"alone":           "[default]\ncredential_process = " + program + "\n",
		"beside keys":     "[default]\n" + keys + "credential_process = " + program + "\n",
		"in capitals":     "[default]\n" + keys + "CREDENTIAL_PROCESS = " + program + "\n",
		"in the source":   "[default]\nrole_arn=" + roleARN + "\nsource_profile=base\n[base]\ncredential_process=" + program + "\n",
		"without a value": "[default]\n" + keys + "credential_process =\n",
		"indented":        "[default]\n" + keys + "  credential_process = " + program + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, simulate.CloudConfig{})
				w.env = map[string]string{"AWS_CONFIG_FILE": shared, "AWS_SHARED_CREDENTIALS_FILE": shared}
				w.put("credentials", file)
				in := w.injector(t, keysConfig(ir.AWSKeySource{File: &ir.AWSFile{Contents: awsRef("credentials")}}))
				err := in.(credential.Checker).Check()
				if err == nil || !strings.Contains(err.Error(), "credential_process is refused: it would start a program") || !strings.Contains(err.Error(), awsRef("credentials").String()) {
					t.Errorf("at load: %v", err)
				}
				if strings.Contains(err.Error(), credentialtest.Marker) || strings.Contains(err.Error(), program) {
					t.Errorf("the error quotes the secret: %v", err)
				}
				time.Sleep(time.Minute)
				if _, _, err := w.converse(in); err == nil {
					t.Error("a request goes through")
				}
			})
		})
	}
	w := newWorld(t, simulate.CloudConfig{})
	w.env = map[string]string{"AWS_CONFIG_FILE": shared, "AWS_SHARED_CREDENTIALS_FILE": shared, "AWS_PROFILE": "default"}
	w.good(t, w.injector(t, keysConfig(ir.AWSKeySource{Default: true}))) // by the metadata server
	if _, err := os.Stat(marker); !errors.Is(err, os.ErrNotExist) {
		t.Error("security row 18: the program was started")
	}
}

func TestAWSFileIsRefused(t *testing.T) {
	const keys = "aws_access_key_id=AKID\naws_secret_access_key=" + credentialtest.Marker + "\n"
	tests := []struct{ name, file, want string }{
		{"empty", "", `there is no profile "default"`},
		{"another profile", "[other]\n" + keys, `there is no profile "default"`},
		{"garbage", credentialtest.Marker + "\n", "line 1: neither a section"},
		{"setting without a section", "a = " + credentialtest.Marker, "line 1: a setting before the first section"},
		{"section not closed", "[" + credentialtest.Marker, "line 1: a section's name is not closed"},
		{"half", "[default]\naws_secret_access_key=" + credentialtest.Marker, "the access key id or the secret access key is missing"},
		{"no keys", "[default]\nregion=x\n", "neither keys nor a role_arn"},
		{"a blank in a key", "[default]\naws_access_key_id=A KID\naws_secret_access_key=" + credentialtest.Marker, "a character that no key may hold"},
		{"sso", "[default]\nsso_session=x\n", "sso_session is refused"},
		{"web identity file", "[default]\nweb_identity_token_file=/etc/passwd\nrole_arn=" + roleARN, "web_identity_token_file is refused: it would read another file"},
		{"the machine's identity", "[default]\nrole_arn=" + roleARN + "\ncredential_source=Ec2InstanceMetadata", "credential_source is refused"},
		{"a device", "[default]\nrole_arn=" + roleARN + "\nsource_profile=b\nmfa_serial=x\n[b]\n" + keys, "mfa_serial is refused"},
		{"a role of nobody", "[default]\nrole_arn=" + roleARN, "role_arn without source_profile"},
		{"no role", "[default]\nrole_arn=" + credentialtest.Marker[:4] + "\nsource_profile=b\n[b]\n" + keys, "not the ARN of a role"},
		{"no source", "[default]\nrole_arn=" + roleARN + "\nsource_profile=b\n", `there is no profile "b"`},
		{"circle", "[default]\nrole_arn=" + roleARN + "\nsource_profile=b\n[b]\nrole_arn=" + roleARN + "\nsource_profile=default\n", "leads in a circle"},
		{"duration", "[default]\nrole_arn=" + roleARN + "\nduration_seconds=long\nsource_profile=b\n[b]\n" + keys, "duration_seconds is not a number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := secret.NewStore()
			store.Put(map[secret.Ref]secret.Value{awsRef("credentials"): secret.NewValue([]byte(tt.file))})
			in, err := credential.New(keysConfig(ir.AWSKeySource{File: &ir.AWSFile{Contents: awsRef("credentials")}}), credential.Deps{Store: store})
			if err != nil {
				t.Fatal(err)
			}
			err = in.(credential.Checker).Check()
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), awsRef("credentials").String()) {
				t.Errorf("Check: %v", err)
			}
			if err := in.Inject(context.Background(), credentialtest.Outbound("Authorization")); err == nil || strings.Contains(err.Error(), credentialtest.Marker) {
				t.Errorf("Inject: %v", err)
			}
		})
	}
}

// A role that is assumed with keys of the same profile, and keys that a
// change of the secret brings.
func TestAWSFileFollowsItsSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulate.CloudConfig{})
		c := w.cloud.Config()
		file := "[default]\nrole_arn = " + roleARN + "\nsource_profile = default\naws_access_key_id=" + c.AccessKeyID + "\naws_secret_access_key="
		w.put("credentials", file+c.SecretAccessKey)
		in := w.injector(t, keysConfig(ir.AWSKeySource{File: &ir.AWSFile{Contents: awsRef("credentials")}}))
		w.good(t, in)
		w.put("credentials", file+"another")
		synctest.Wait()
		if s := in.(credential.Statuser).Status(); !strings.Contains(s.Error, "SignatureDoesNotMatch") {
			t.Errorf("%+v", s)
		}
		w.put("credentials", file+c.SecretAccessKey+"\n")
		synctest.Wait()
		w.good(t, in)
		if s := in.(credential.Statuser).Status(); s.Refreshes != 2 || s.Error != "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestAWSRefusesAtLoad(t *testing.T) {
	static := &ir.AWSStaticKeys{AccessKeyID: awsRef("id"), SecretAccessKey: awsRef("key")}
	for name, keys := range map[string]ir.AWSKeySource{
		"nothing":           {},
		"no file":           {File: &ir.AWSFile{}},
		"no role":           {Static: static, Role: &ir.AWSRole{}},
		"not a role":        {Static: static, Role: &ir.AWSRole{ARN: "arn:aws:iam::1:user/x"}},
		"endpoint":          {Static: static, Role: &ir.AWSRole{ARN: roleARN, Endpoint: "sts"}},
		"exchange, no role": {Exchange: &ir.AWSExchange{Subject: ir.SubjectToken{File: "/x"}}},
		"exchange of none":  {Exchange: &ir.AWSExchange{Role: ir.AWSRole{ARN: roleARN}}},
	} {
		if _, err := credential.New(keysConfig(keys), credential.Deps{Store: secret.NewStore()}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	cfg := awsConfig("bedrock", false)
	cfg.AWS.Region = "us-east-1.evil.example/"
	if _, err := credential.New(cfg, credential.Deps{Store: secret.NewStore()}); err == nil {
		t.Error("a region that changes the host: no error")
	}
}

func TestAWSDefaultChainFails(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"half a key":              {map[string]string{"AWS_ACCESS_KEY_ID": "x"}, "environment: the access key id or"},
		"no role":                 {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent"}, "AWS_ROLE_ARN: no role is named"},
		"no token file":           {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent", "AWS_ROLE_ARN": roleARN}, "no such file"},
		"another server":          {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://evil.example/"}, "neither https nor a server of this machine"},
		"wrong container token":   {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/simulated", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong"}, "answered 401"},
		"no container token file": {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/simulated", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nonexistent"}, "no such file"},
		"nothing":                 {map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, "names no credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulate.CloudConfig{})
			w.env = tt.env
			_, _, err := w.converse(w.injector(t, keysConfig(ir.AWSKeySource{Default: true})))
			if !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
