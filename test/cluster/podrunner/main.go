// Command podrunner is a small kubelet, for clusters that tests start. It takes
// every Pod of the API server to itself and runs a local program for each of
// its containers, with namespaces of its own (network, mounts, processes), a
// root folder that holds no more than its image would, volumes, probes, restarts
// and a graceful end. It also stands in for what surrounds a kubelet: it binds
// Pods to its node, lets ClusterIPs and load balancers' addresses lead to ready
// endpoints, and answers for the names of Services.
//
//	Pod ─► pod (network, volumes, status) ─► container (restart, probe) ─► enter (namespaces, root, user) ─► program
//	API server ─► kubelet.go (logs, exec, port-forward)
//	Service, EndpointSlice ─► service.go (connections), dns.go (names)
//
// There is no isolation beyond that, no resource limits, no image registry: a
// table says which program stands for which image. It needs root, and ip and
// nsenter on the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// settings are the command line.
type settings struct {
	kubeconfig, state, bridge, clientCA string
	podCIDR, balancerCIDR               string
	images, imageTable                  string
	strict, services, untilEOF          bool
	kubeletPort                         int
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "enter":
			fmt.Fprintln(os.Stderr, "podrunner:", enter())
			os.Exit(exitNotStarted)
		case "become":
			fmt.Fprintln(os.Stderr, "podrunner:", become(os.Args[2]))
			os.Exit(exitNotFound)
		case "pause":
			pause()
			return
		}
	}
	var s settings
	flag.StringVar(&s.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "how the API server is reached, as administrator")
	flag.StringVar(&s.state, "state", "", "folder for volumes and logs")
	flag.StringVar(&s.bridge, "bridge", "kfbr0", "bridge to create, of at most 8 letters")
	flag.StringVar(&s.podCIDR, "pod-cidr", "10.213.0.0/16", "addresses of pods; the first is the node's")
	flag.StringVar(&s.balancerCIDR, "load-balancer-cidr", "", "addresses for Services of type LoadBalancer; empty for none")
	flag.BoolVar(&s.services, "services", false, "let ClusterIPs and Services' names lead to their endpoints")
	flag.StringVar(&s.images, "images", "", "comma-separated IMAGE=PROGRAM; IMAGE is a prefix")
	flag.StringVar(&s.imageTable, "image-table", "", "JSON file with a list of images")
	flag.BoolVar(&s.strict, "strict-images", false, "an image that the tables do not know cannot be pulled; without this it stands for a program that only waits")
	flag.IntVar(&s.kubeletPort, "kubelet-port", 10350, "port for what the API server asks of a kubelet")
	flag.StringVar(&s.clientCA, "client-ca", "", "PEM file of who may ask; without it anybody may read logs, and nobody execute")
	flag.BoolVar(&s.untilEOF, "until-eof", false, "end when standard input does, and with it whoever started this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if s.untilEOF {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	if err := serve(ctx, s); err != nil {
		log.Fatal(err)
	}
}

// pause is the program of an image that is only waited with.
func pause() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	<-ended
}

// serve runs pods until ctx ends, and ends them.
func serve(ctx context.Context, s settings) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = 200, 400
	n, err := newNode(cfg, s)
	if err != nil {
		return err
	}
	if err := n.net.up(); err != nil {
		return err
	}
	defer n.net.down()
	k, err := newKubelet(n, s)
	if err != nil {
		return err
	}
	defer k.close()
	factory := informers.NewSharedInformerFactory(n.client, 0)
	n.watchPods(ctx, factory)
	var services *services
	if s.services {
		if services, err = newServices(n, factory, cfg, s); err != nil {
			return err
		}
		defer services.close()
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	if services != nil {
		if err := services.start(ctx); err != nil {
			return err
		}
	}
	if err := n.register(ctx, int32(s.kubeletPort)); err != nil {
		return err
	}
	k.ready.Store(true)
	<-ctx.Done()
	n.stopAll()
	return nil
}

// newNode prepares a node without pods.
func newNode(cfg *rest.Config, s settings) (*node, error) {
	if s.state == "" {
		return nil, errors.New("podrunner: --state is missing")
	}
	prefix, err := netip.ParsePrefix(s.podCIDR)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	images, err := readImages(s.images, s.imageTable, s.strict)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.state, 0o755); err != nil {
		return nil, err
	}
	ca := cfg.CAData
	if len(ca) == 0 && cfg.CAFile != "" {
		if ca, err = os.ReadFile(cfg.CAFile); err != nil {
			return nil, err
		}
	}
	return &node{client: client, name: "podrunner", state: s.state, images: images, ca: ca, services: s.services,
		net: newNetwork(s.bridge, prefix), pods: map[podKey]*pod{}, stopTime: time.Second}, nil
}
