package simulate

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// STS simulates AWS's Security Token Service: AssumeRole, whose signature it
// verifies, and AssumeRoleWithWebIdentity, whose token it verifies. See
// https://docs.aws.amazon.com/STS/latest/APIReference.
type STS struct {
	*Cloud
	hosts []string
}

// NewSTS makes an STS of cfg.Cloud.
func NewSTS(cfg ProviderConfig) *STS { return &STS{Cloud: cfg.cloud(), hosts: cfg.Hosts} }

// Name is "aws-sts".
func (s *STS) Name() string { return "aws-sts" }

// Hosts are the configured host names.
func (s *STS) Hosts() []string { return s.hosts }

// Answer replies as STS would.
func (s *STS) Answer(r *Request) Answer { return s.dated(s.answer(r)) }

func (s *STS) answer(r *Request) Answer {
	form, err := url.ParseQuery(string(r.Payload))
	if r.Method != http.MethodPost || r.URL.Path != "/" || err != nil {
		return stsError(http.StatusBadRequest, "InvalidAction", "Could not read the request")
	}
	role := form.Get("RoleArn")
	if !strings.HasPrefix(role, "arn:aws:iam::") || form.Get("RoleSessionName") == "" {
		return stsError(http.StatusBadRequest, "ValidationError", "RoleArn or RoleSessionName is invalid")
	}
	switch form.Get("Action") {
	case "AssumeRole":
		return s.assumeRole(r, form, role)
	case "AssumeRoleWithWebIdentity":
		return s.withWebIdentity(form, role)
	}
	return stsError(http.StatusBadRequest, "InvalidAction", "Could not find operation")
}

func (s *STS) assumeRole(r *Request, form url.Values, role string) Answer {
	if _, refused := s.authenticate(r, "sts"); refused != nil {
		return stsError(http.StatusForbidden, refused.code, refused.text)
	}
	if s.cfg.ExternalID != "" && form.Get("ExternalId") != s.cfg.ExternalID {
		return stsError(http.StatusForbidden, "AccessDenied", "User is not authorized to perform: sts:AssumeRole on resource: "+role)
	}
	tags := map[string]string{}
	for i := 1; form.Has("Tags.member." + strconv.Itoa(i) + ".Key"); i++ {
		tags[form.Get("Tags.member."+strconv.Itoa(i)+".Key")] = form.Get("Tags.member." + strconv.Itoa(i) + ".Value")
	}
	return s.give("AssumeRole", form, Session{Role: role, Tags: tags})
}

func (s *STS) withWebIdentity(form url.Values, role string) Answer {
	subject, problem := s.identity(form.Get("WebIdentityToken"), s.cfg.Audience)
	switch problem {
	case "":
		return s.give("AssumeRoleWithWebIdentity", form, Session{Role: role, Subject: subject})
	case "ExpiredTokenException":
		return stsError(http.StatusBadRequest, problem, "Token expired")
	}
	return stsError(http.StatusBadRequest, problem, "No OpenIDConnect provider found in your account for the token's issuer, or its audience or signature is wrong")
}

// stsCredentials is the part of an answer that matters.
type stsCredentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type stsResult struct {
	XMLName     xml.Name
	Credentials stsCredentials
	User        struct {
		ARN string `xml:"Arn"`
		ID  string `xml:"AssumedRoleId"`
	} `xml:"AssumedRoleUser"`
	Subject string `xml:"SubjectFromWebIdentityToken,omitempty"`
}

// give answers with keys of a session.
func (s *STS) give(action string, form url.Values, session Session) Answer {
	wanted, _ := strconv.Atoi(form.Get("DurationSeconds"))
	session.Name = form.Get("RoleSessionName")
	session.Expires = s.now().Add(s.lifetime(time.Duration(wanted) * time.Second))
	keys := s.Issue(session)
	result := stsResult{
		XMLName:     xml.Name{Local: action + "Result"},
		Credentials: stsCredentials{keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, keys.Expires.Format(time.RFC3339)},
		Subject:     session.Subject,
	}
	result.User.ARN, result.User.ID = session.Role+"/"+session.Name, "AROASIMULATED:"+session.Name
	return xmlAnswer(http.StatusOK, struct {
		XMLName xml.Name
		Result  stsResult
	}{xml.Name{Space: stsNamespace, Local: action + "Response"}, result})
}

// Failure is an error of STS of that status.
func (s *STS) Failure(status int) Answer {
	return stsError(status, "InternalFailure", http.StatusText(status))
}

func stsError(status int, code, message string) Answer {
	e := struct {
		XMLName xml.Name
		Type    string `xml:"Error>Type"`
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
		ID      string `xml:"RequestId"`
	}{xml.Name{Space: stsNamespace, Local: "ErrorResponse"}, "Sender", code, message, "simulated"}
	return xmlAnswer(status, e)
}

// xmlAnswer is an Answer whose body is v, which is a plain struct.
func xmlAnswer(status int, v any) Answer {
	b, err := xml.Marshal(v)
	if err != nil {
		panic("simulate: encode answer: " + err.Error())
	}
	return Answer{Status: status, Header: http.Header{"Content-Type": {"text/xml"}}, Body: b}
}
